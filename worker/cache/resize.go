package cache

import (
	"errors"

	"secure-dns-proxy/ring/sys"
)

// SetLimit changes the limit while keeping the entries that fit. Growing takes a millisecond at most: the entries move to a larger index a
// few at a time afterwards, in Tend and Put, and until that is done the memory of both indexes is taken. Shrinking evicts in the usual order,
// gives the memory back and rebuilds the index at once, which takes about 0.1 s per million entries. Ghosts are forgotten. The rest, of what has no share, grows and
// shrinks; where it would become too small there are no shares until Divide is called.
//
// An error in the range or in mapping leaves everything as it was. An error in giving memory back leaves the new limit in force.
func (s *Shard) SetLimit(bytes int64) error {
	if err := checkLimit(bytes); err != nil {
		return err
	}
	n := chunksWithin(bytes)
	if n == len(s.chunks) {
		s.limit = bytes
		return nil
	}
	ahead := s.ahead
	ahead.cancel()
	s.ahead = nil // no new orders while memory goes
	defer func() { s.ahead = ahead; s.startAhead() }()
	fresh, err := openIndex(n)
	if err != nil {
		return err
	}
	s.migrate(len(s.old.buckets)) // what an earlier change has left to do
	if rest := &s.shares[0]; rest.most+n-len(s.chunks) < chunksWithin(BytesMin) && len(s.shares) > 1 {
		if err := s.Divide(nil); err != nil { // until the next call
			panic("cache: without shares: " + err.Error())
		}
	}
	if more := n - len(s.chunks); more > 0 {
		if err := s.addChunks(more); err != nil {
			return errors.Join(err, sys.Unmap(fresh.mem))
		}
		s.shares[0].most += more
		s.old, s.moved, s.index, s.limit = s.index, 0, fresh, bytes
		s.resweep()
		return nil
	}
	s.finishFlushes()
	err = s.shrink(n)
	old := s.index
	s.index, s.limit, s.stats.Entries = fresh, bytes, 0
	for id := range s.chunks {
		s.reindex(uint32(id))
	}
	return errors.Join(err, sys.Unmap(old.mem))
}

// Tend does a bounded part, some 0.1 ms, of what SetLimit and Begin have left to do, and reports whether more is left. Call it once a turn.
func (s *Shard) Tend() bool {
	s.migrate(bucketsPerTend)
	s.sweep(entriesPerTend)
	return s.old.mem != nil || len(s.flushes) != 0
}

// migrate moves the entries of so many buckets of the old index to the new one. Memory is given back in steps: to unmap it all at once would
// take longer than a turn may.
func (s *Shard) migrate(buckets int) {
	for ; buckets > 0 && s.moved < len(s.old.buckets); buckets-- {
		b := &s.old.buckets[s.moved]
		for slot := range bucketSlots {
			if b.tags[slot>>2]>>(slot&3*16)&0xFFFF == 0 {
				continue
			}
			ref := b.refs[slot]
			hash := s.at(ref).hash
			s.old.remove(place{b, slot, s.old.first(hash) != b}, hash)
			s.stats.Entries--
			s.enter(hash, ref)
		}
		if s.moved++; s.moved%discardBuckets == 0 {
			// Not an error if it stays resident (locked memory): it goes with the rest.
			_ = sys.Discard(s.old.mem[(s.moved-discardBuckets)*bucketBytes : s.moved*bucketBytes])
		}
	}
	if s.old.mem != nil && s.moved == len(s.old.buckets) {
		if err := sys.Unmap(s.old.mem); err != nil {
			panic("cache: unmap an index: " + err.Error()) // a mapping that we made and nobody else knows
		}
		s.old, s.moved = index{}, 0
	}
}

// shrink cleans until n chunks are left. The reserve stays, so that what is worth keeping can move. References are void afterwards.
func (s *Shard) shrink(n int) error {
	var err error
	for left := len(s.chunks); left > n; {
		if s.free.chunks <= reserveChunks {
			s.clean(s.fullest())
			continue
		}
		id := s.free.front
		s.unlink(&s.free, id)
		err = errors.Join(err, sys.Unmap(s.chunks[id].mem))
		s.chunks[id].state = chunkGone
		s.shares[0].most-- // with each, so that what is worth keeping has room to move
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
	lists := []*chunkList{&s.free}
	for i := range s.shares {
		lists = append(lists, &s.shares[i].probation, &s.shares[i].main)
	}
	for _, l := range lists {
		id := l.back
		*l = emptyList()
		for id != nowhere {
			next := old[id].next
			s.chunks = append(s.chunks, old[id])
			s.pushFront(l, uint32(len(s.chunks)-1))
			id = next
		}
	}
	for i := range s.shares {
		if v := &s.shares[i].victim; v.id != nowhere {
			s.chunks = append(s.chunks, old[v.id])
			v.id = uint32(len(s.chunks) - 1)
		}
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
	if s.old.mem != nil {
		_ = sys.Unmap(s.old.mem) // cannot fail: a whole mapping of ours
		s.old, s.moved = index{}, 0
	}
	s.free = emptyList()
	for i := range s.shares {
		s.shares[i] = newShare(s.shares[i].of, s.shares[i].most)
	}
	for id := range s.chunks {
		// Not an error if it stays resident (locked memory): it is free and within the limit.
		_ = sys.Discard(s.chunks[id].mem)
		s.chunks[id].touched = false
		s.release(uint32(id))
	}
	s.stats.Entries = 0
	s.finishFlushes()
	s.startAhead()
}
