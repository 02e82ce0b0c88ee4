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
	if state := s.chunks[ref>>chunkBits].state; state != chunkVictim {
		return state
	}
	return s.victim.origin
}

// queue is the list of a state; only probation and main have one.
func (s *Shard) queue(state chunkState) *chunkList {
	if state == chunkMain {
		return &s.main
	}
	return &s.probation
}

// allocate hands out room for units at the front of the queue of state, from a free chunk if the front one is full. ok is false if
// there is no free chunk.
func (s *Shard) allocate(state chunkState, units int) (ref uint32, e *entry, ok bool) {
	l := s.queue(state)
	size := uint32(units) * unitBytes
	if l.front == nowhere || s.chunks[l.front].used+size > chunkBytes {
		if !s.open(l, state) {
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

// open takes a free chunk into use as the front of l.
func (s *Shard) open(l *chunkList, state chunkState) bool {
	id := s.free.front
	if id == nowhere {
		return false
	}
	s.unlink(&s.free, id)
	c := &s.chunks[id]
	c.state, c.used, c.opened, c.live = state, 0, s.now, [expiryClasses]uint32{}
	c.touched = true
	s.lives++
	c.life = s.lives
	s.pushFront(l, id)
	s.lookAhead()
	return true
}

// release makes a chunk that is in no list free.
func (s *Shard) release(id uint32) {
	s.chunks[id].state = chunkFree
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
