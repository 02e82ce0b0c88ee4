package health

import "sync/atomic"

// window counts what became of exchanges during the last buckets × grain. It takes no lock: each count carries the number of the grain
// that it belongs to (its epoch), so one that is too old is replaced in the same step that adds to it.
//
// Failures, declines and slow answers are counted one by one: they are rare, or else the cost is no longer the trouble. Good answers, the
// common case, would have every worker write the same line: beyond exactMax in a grain only those of sampled turns count, each for
// sampleOneIn. The turn's own time decides, so that it costs nothing and a run can be repeated; shares come out right on average.
type window struct {
	cells [buckets]cell
}

// cell is one grain. Each word is epoch<<32 | count.
type cell struct {
	answered, failed, declined, slow atomic.Uint64
	_                                [32]byte // a cache line of its own
}

// counts are the sums over the window. Declined and slow ones are answered too.
type counts struct{ answered, failed, declined, slow int64 }

func (w *window) cell(now, grain int64) (*cell, uint32) {
	epoch := now / grain
	return &w.cells[uint64(epoch)%buckets], uint32(epoch)
}

// answer counts a good answer.
func (w *window) answer(now, grain int64) {
	c, epoch := w.cell(now, grain)
	v := c.answered.Load()
	if uint32(v>>32) == epoch && uint32(v) >= exactMax {
		if uint64(now)*0x9E3779B97F4A7C15>>32%sampleOneIn != 0 {
			return
		}
		add(&c.answered, epoch, sampleOneIn)
		return
	}
	add(&c.answered, epoch, 1)
}

// add adds n to the count of epoch. A count of a later epoch stays: the caller's time was old.
func add(word *atomic.Uint64, epoch uint32, n uint64) {
	for {
		v := word.Load()
		next := uint64(epoch)<<32 | n
		switch age := int32(epoch - uint32(v>>32)); {
		case age == 0:
			next = v + n
		case age < 0:
			return
		}
		if word.CompareAndSwap(v, next) {
			return
		}
	}
}

// sum adds up what is not too old.
func (w *window) sum(now, grain int64) counts {
	epoch := uint32(now / grain)
	count := func(word *atomic.Uint64) int64 {
		v := word.Load()
		if age := epoch - uint32(v>>32); age >= buckets {
			return 0
		}
		return int64(uint32(v))
	}
	var s counts
	for i := range w.cells {
		c := &w.cells[i]
		s.answered += count(&c.answered)
		s.failed += count(&c.failed)
		s.declined += count(&c.declined)
		s.slow += count(&c.slow)
	}
	return s
}

// clear forgets everything. A count that is added at the same time may survive, or be lost.
func (w *window) clear() {
	for i := range w.cells {
		c := &w.cells[i]
		for _, word := range []*atomic.Uint64{&c.answered, &c.failed, &c.declined, &c.slow} {
			word.Store(0)
		}
	}
}
