package cache

import "slices"

// Flush removes what Match says of all that was put before Begin. Removing takes many turns; what is doomed is not found any more from
// Begin on. The Shard uses it until Done.
type Flush struct {
	Match
	Removed uint64 // entries so far
	Done    bool

	number uint8 // every entry with an older one is subject to it
	left   int   // chunks to be looked at
}

// round is how many chunks the sweep passes until it has seen all: it may begin in the middle of one, and sees that twice.
func (s *Shard) round() int { return len(s.chunks) + 1 }

// Begin starts a flush, which Tend carries out; false: FlushesMax are under way.
//
// A sweep goes round all chunks, for all flushes at once. Every entry has the number of the last flush that it need not be looked at for:
// of the time it was put, moved (cleaning looks as well) or passed by the sweep. Within one round at most FlushesMax flushes can begin,
// as none of them ends before the round does; so no entry is further behind, and the numbers may wrap.
func (s *Shard) Begin(f *Flush) bool {
	if len(s.flushes) == FlushesMax {
		return false
	}
	if cap(s.flushes) == 0 {
		s.flushes = make([]*Flush, 0, FlushesMax)
	}
	s.flushNo = (s.flushNo + 1) % flushNumbers
	f.number, f.left = s.flushNo, s.round()
	s.flushes = append(s.flushes, f)
	return true
}

// stamp says that e is not subject to flushes up to number.
func (e *entry) stamp(number uint8) { e.bits = e.bits&^bitsFlush | number<<flushShift }

// behind is how many flushes have begun since e was stamped.
func (s *Shard) behind(e *entry) uint8 { return (s.flushNo - e.bits>>flushShift) % flushNumbers }

// doomed returns the flush that e is to be removed by; nil: none.
func (s *Shard) doomed(e *entry) *Flush {
	age := s.behind(e)
	if age == 0 {
		return nil
	}
	for _, f := range s.flushes {
		if (s.flushNo-f.number)%flushNumbers < age && f.Matches(e.key()) {
			return f
		}
	}
	return nil
}

// countDoomed reports whether a live entry that is about to go is doomed, and counts it then.
func (s *Shard) countDoomed(e *entry) bool {
	if len(s.flushes) == 0 {
		return false
	}
	f := s.doomed(e)
	if f != nil {
		f.Removed++
	}
	return f != nil
}

// sweep looks at so many entries for the flushes under way.
func (s *Shard) sweep(entries int) {
	for ; entries > 0 && len(s.flushes) != 0; entries-- {
		ref, e := s.sweeper.next(s)
		switch {
		case e == nil:
			s.passed()
		case e.bits&bitsDead != 0:
		case s.countDoomed(e):
			s.drop(ref, e)
		default:
			e.stamp(s.flushNo)
		}
	}
}

// passed counts a chunk that the sweep is through with, and ends the flushes that have seen all.
func (s *Shard) passed() {
	for _, f := range s.flushes {
		f.left--
		f.Done = f.left <= 0
	}
	s.flushes = slices.DeleteFunc(s.flushes, func(f *Flush) bool { return f.Done })
}

// resweep lets flushes begin their round anew, because the number of chunks has grown.
func (s *Shard) resweep() {
	for _, f := range s.flushes {
		f.left = s.round()
	}
}

// finishFlushes carries out at once what is left of all flushes.
func (s *Shard) finishFlushes() {
	for len(s.flushes) != 0 {
		s.sweep(entriesPerTend)
	}
}
