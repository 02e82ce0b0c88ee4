package shared

import "sync/atomic"

// set is one set of a class: state words, info words, slots.
type set struct {
	words     []uint64
	slotWords int
}

// A state word is version<<32 | tag. An odd version: a writer is in the slot. A tag of 0: the slot is free.
const (
	versionOne = 1 << 32
	tagMask    = versionOne - 1
)

func tagOf(hash uint64) uint64 { return hash&tagMask | 1 }

func written(state uint64) bool { return state&versionOne != 0 }

func (s *set) state(way int) *uint64 { return &s.words[way] }
func (s *set) info(way int) *uint64  { return &s.words[ways+way] }

func (s *set) slot(way int) []uint64 {
	start := metaWords + way*s.slotWords
	return s.words[start : start+s.slotWords]
}

// infoOf makes an info word.
func infoOf(expire, stored uint32) uint64 { return uint64(expire)<<32 | uint64(stored)<<1&tagMask }

const infoVisited = 1

// visit notes that somebody came for the slot; one that is popular already is not written to.
func (s *set) visit(way int) {
	info := s.info(way)
	if seen := atomic.LoadUint64(info); seen&infoVisited == 0 {
		atomic.CompareAndSwapUint64(info, seen, seen|infoVisited) // lost: another visit, or a new entry
	}
}

// read copies the slot at way, whose state was seen, and returns true if that is one whole entry.
func (s *set) read(way int, state uint64, c *Copy) bool {
	return c.load(s.slot(way)) && atomic.LoadUint64(s.state(way)) == state
}

// take makes the slot at way, whose state was seen, the caller's to write, with a new tag. false: another one was quicker.
func (s *set) take(way int, state, tag uint64) bool {
	return !written(state) && atomic.CompareAndSwapUint64(s.state(way), state, state&^tagMask+versionOne|tag)
}

// give ends the writing of a slot that was taken when its state was state.
func (s *set) give(way int, state, tag uint64) {
	atomic.StoreUint64(s.state(way), state&^tagMask+2*versionOne|tag)
}

// drop frees the slot at way if its state is still as it was seen.
func (s *set) drop(way int, state uint64) bool {
	return !written(state) && atomic.CompareAndSwapUint64(s.state(way), state, state&^tagMask+2*versionOne)
}

// find returns where an entry of this hash is that nobody is writing, or -1. busy: a slot for this tag is being written.
func (s *set) find(hash uint64) (way int, state uint64, busy bool) {
	tag := tagOf(hash)
	for way := range ways {
		state := atomic.LoadUint64(s.state(way))
		switch {
		case state&tagMask != tag:
		case written(state):
			busy = true
		case atomic.LoadUint64(&s.slot(way)[wordHash]) == hash:
			return way, state, busy
		}
	}
	return -1, 0, busy
}

// victim returns the slot that is worth least, and how much that is; -1 if all are being written or in without.
func (s *set) victim(now uint32, without uint32) (way int, state, least uint64) {
	way = -1
	for i := range ways {
		seen := atomic.LoadUint64(s.state(i))
		if written(seen) || without>>i&1 != 0 {
			continue
		}
		if seen&tagMask == 0 {
			return i, seen, 0
		}
		if rank := worth(atomic.LoadUint64(s.info(i)), now); way < 0 || rank < least {
			way, state, least = i, seen, rank
		}
	}
	return way, state, least
}

const (
	worthUnvisited = 1 << 40
	worthVisited   = 1 << 41
)

// worth orders entries: expired ones first, those that expired first before others; then those that nobody came for, older ones first; then the
// rest, older ones first.
func worth(info uint64, now uint32) uint64 {
	expire, stored := info>>32, info&tagMask>>1
	switch {
	case expire <= uint64(now):
		return expire
	case info&infoVisited == 0:
		return worthUnvisited + stored
	}
	return worthVisited + stored
}

// forgetVisits gives every entry of the set the same chance again.
func (s *set) forgetVisits() {
	for i := range ways {
		info := s.info(i)
		seen := atomic.LoadUint64(info)
		atomic.CompareAndSwapUint64(info, seen, seen&^infoVisited)
	}
}

// write stores the entry of n words that c holds in the slot at way, whose state was seen. keep: it is as popular as what it replaces. false: another
// writer was quicker.
func (s *set) write(way int, state uint64, n int, keep bool, c *Copy) bool {
	tag := tagOf(c.words[wordHash])
	if !s.take(way, state, tag) {
		return false
	}
	info := infoOf(c.expire(), c.stored())
	if keep {
		info |= atomic.LoadUint64(s.info(way)) & infoVisited
	}
	c.save(s.slot(way), n)
	atomic.StoreUint64(s.info(way), info)
	s.give(way, state, tag)
	return true
}

// insert stores the entry of n words that c holds where it costs least; with evict false only where that is nothing that is within its TTL.
func (s *set) insert(n int, now uint32, evict bool, c *Copy) Result {
	var without uint32
	for range putTries {
		way, state, least := s.victim(now, without)
		if way < 0 || least >= worthUnvisited && !evict {
			break
		}
		if !s.write(way, state, n, false, c) {
			without |= 1 << way
			continue
		}
		if least >= worthVisited {
			s.forgetVisits()
		}
		if least >= worthUnvisited {
			return Evicted
		}
		return Stored
	}
	return Crowded
}
