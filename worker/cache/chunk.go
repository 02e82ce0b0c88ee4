package cache

import (
	"fmt"
	"math/bits"

	"secure-dns-proxy/ring/sys"
)

// chunk is a piece of memory that is filled from the front and freed as a whole.
type chunk struct {
	mem        []byte
	prev, next uint32 // neighbours in its list: towards the back, towards the front; nowhere at the ends
	used       uint32 // bytes handed out
	opened     uint32 // seconds, when it was taken into use
	state      chunkState
	share      uint8  // number of the one that has it, unless it is free
	touched    bool   // its memory has pages, or soon will have
	life       uint32 // changes whenever it is taken into use: see Cursor
	// live counts the bytes of live entries by expiry: those in class k expire less than 2^k seconds after opened; the last class has the
	// rest.
	live [expiryClasses]uint32
}

type chunkState uint8

const (
	chunkFree      chunkState = iota // empty
	chunkProbation                   // in that queue
	chunkMain                        // in that queue
	chunkVictim                      // being cleaned
	chunkGone                        // given back; only while SetLimit runs
)

const (
	// nowhere ends a list of chunks.
	nowhere = ^uint32(0)
	// expiryClasses: classes 0 to 16 tell up to 18 hours apart; longer is rare and found at the queue's end.
	expiryClasses = 18
)

// class is the expiry class of an entry in c.
func (c *chunk) class(expire uint32) int {
	if expire < c.opened {
		return 0
	}
	return min(bits.Len32(expire-c.opened), expiryClasses-1)
}

// garbage is a lower bound of the bytes that cleaning c gives back at now: those of dead entries and of entries surely expired.
func (c *chunk) garbage(now uint32) uint32 {
	live := c.live[expiryClasses-1]
	for k := bits.Len32(now - c.opened); k < expiryClasses-1; k++ {
		live += c.live[k]
	}
	return c.used - live
}

// chunkList is a doubly linked list of chunks, by id. Its front is where chunks are put.
type chunkList struct {
	front, back uint32
	chunks      int
}

func emptyList() chunkList { return chunkList{front: nowhere, back: nowhere} }

func (s *Shard) pushFront(l *chunkList, id uint32) {
	c := &s.chunks[id]
	c.prev, c.next = l.front, nowhere
	if l.front == nowhere {
		l.back = id
	} else {
		s.chunks[l.front].next = id
	}
	l.front = id
	l.chunks++
}

func (s *Shard) unlink(l *chunkList, id uint32) {
	c := &s.chunks[id]
	if c.prev == nowhere {
		l.back = c.next
	} else {
		s.chunks[c.prev].next = c.next
	}
	if c.next == nowhere {
		l.front = c.prev
	} else {
		s.chunks[c.next].prev = c.prev
	}
	l.chunks--
}

// queueOf is the queue that an entry counts as being in.
func (s *Shard) queueOf(ref uint32) chunkState {
	c := &s.chunks[ref>>chunkBits]
	if c.state != chunkVictim {
		return c.state
	}
	return s.shares[c.share].victim.origin
}

// allocate hands out room for units at the front of a share's queue of that state, from a free chunk if the front one is full. ok is false if there is no free
// chunk, or the share has as many as it may.
func (s *Shard) allocate(number uint8, state chunkState, units int) (ref uint32, e *entry, ok bool) {
	l := s.shares[number].queue(state)
	size := uint32(units) * unitBytes
	if l.front == nowhere || s.chunks[l.front].used+size > chunkBytes {
		if !s.open(number, state) {
			return 0, nil, false
		}
	}
	c := &s.chunks[l.front]
	off := c.used
	c.used += size
	e = entryAt(c.mem, int(off))
	e.units, e.bits = uint16(units), 0
	return l.front<<chunkBits | off/unitBytes, e, true
}

// open takes a free chunk into use as the front of a share's queue.
func (s *Shard) open(number uint8, state chunkState) bool {
	if s.room(number) <= 0 {
		return false
	}
	id := s.free.front
	s.unlink(&s.free, id)
	c := &s.chunks[id]
	c.state, c.used, c.opened, c.live, c.share = state, 0, s.now, [expiryClasses]uint32{}, number
	c.touched = true
	s.lives++
	c.life = s.lives
	sh := &s.shares[number]
	sh.used++
	s.pushFront(sh.queue(state), id)
	s.lookAhead()
	return true
}

// release makes a chunk that is in no list, and of no share any more, free.
func (s *Shard) release(id uint32) {
	s.chunks[id].state, s.chunks[id].share = chunkFree, 0
	s.pushFront(&s.free, id)
}

// addChunks maps n more free chunks. Each is unmapped on its own.
func (s *Shard) addChunks(n int) error {
	mem, err := sys.Map(n * chunkBytes)
	if err != nil {
		return fmt.Errorf("cache memory: %w", err)
	}
	// Not append: it would reserve twice what is accounted for.
	table := make([]chunk, len(s.chunks), len(s.chunks)+n)
	copy(table, s.chunks)
	s.chunks = table
	for ; len(mem) > 0; mem = mem[chunkBytes:] {
		s.chunks = append(s.chunks, chunk{mem: mem[:chunkBytes:chunkBytes]})
		s.release(uint32(len(s.chunks) - 1))
	}
	return nil
}
