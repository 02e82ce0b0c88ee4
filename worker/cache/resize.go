package cache

import (
	"errors"

	"secure-dns-proxy/ring/sys"
)

// SetLimit changes the limit while keeping the entries that fit; the same limit again costs nothing. Shrinking evicts in the usual order and gives the memory back; the
// index is rebuilt, which takes about 0.1 s per million entries and, until it is done, the memory of both indexes. Ghosts are forgotten.
//
// An error in the range or in mapping leaves everything as it was. An error in giving memory back leaves the new limit in force.
func (s *Shard) SetLimit(bytes int64) error {
	if err := checkLimit(bytes); err != nil {
		return err
	}
	if bytes == s.limit {
		return nil
	}
	ahead := s.ahead
	ahead.cancel()
	s.ahead = nil // no new orders while memory goes
	defer func() { s.ahead = ahead; s.startAhead() }()
	n := chunksWithin(bytes)
	fresh, err := openIndex(n)
	if err != nil {
		return err
	}
	if more := n - len(s.chunks); more > 0 {
		if err := s.addChunks(more); err != nil {
			return errors.Join(err, sys.Unmap(fresh.mem))
		}
	}
	err = s.shrink(n)
	old := s.index
	s.index, s.limit, s.stats.Entries = fresh, bytes, 0
	for id := range s.chunks {
		s.reindex(uint32(id))
	}
	return errors.Join(err, sys.Unmap(old.mem))
}

// shrink cleans until n chunks are left. The reserve stays, so that what is worth keeping can move. References are void afterwards.
func (s *Shard) shrink(n int) error {
	var err error
	for left := len(s.chunks); left > n; {
		if s.free.chunks <= reserveChunks {
			s.clean()
			continue
		}
		id := s.free.front
		s.unlink(&s.free, id)
		err = errors.Join(err, sys.Unmap(s.chunks[id].mem))
		s.chunks[id].state = chunkGone
		left--
	}
	s.renumber(n)
	return err
}

// renumber closes the gaps in the table of chunks, n of which are left. Every list keeps its order.
func (s *Shard) renumber(n int) {
	if n == len(s.chunks) {
		return
	}
	old := s.chunks
	s.chunks = make([]chunk, 0, n)
	for _, l := range [...]*chunkList{&s.free, &s.probation, &s.main} {
		id := l.back
		*l = emptyList()
		for id != nowhere {
			next := old[id].next
			s.chunks = append(s.chunks, old[id])
			s.pushFront(l, uint32(len(s.chunks)-1))
			id = next
		}
	}
	if s.victim.id != nowhere {
		s.chunks = append(s.chunks, old[s.victim.id])
		s.victim.id = uint32(len(s.chunks) - 1)
	}
}

// reindex enters the live entries of a chunk into an index that does not have them.
func (s *Shard) reindex(id uint32) {
	c := &s.chunks[id]
	if c.state == chunkFree {
		return
	}
	for off := 0; off < int(c.used); {
		e := entryAt(c.mem, off)
		if e.bits&bitsDead == 0 {
			s.enter(e.hash, id<<chunkBits|uint32(off/unitBytes))
		}
		off += e.bytes()
	}
}

// Flush drops all entries, which count in no statistic, and gives the memory back.
func (s *Shard) Flush() {
	s.ahead.cancel()
	s.index.wipe()
	s.free, s.probation, s.main = emptyList(), emptyList(), emptyList()
	s.victim = victim{id: nowhere}
	for id := range s.chunks {
		// Not an error if it stays resident (locked memory): it is free and within the limit.
		_ = sys.Discard(s.chunks[id].mem)
		s.chunks[id].touched = false
		s.release(uint32(id))
	}
	s.stats.Entries = 0
	s.startAhead()
}
