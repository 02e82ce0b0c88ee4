package cache

import "math/bits"

// A Get reads two lines that are seldom in a core's cache: the bucket, then the entry. A caller with several questions at hand calls
// WarmIndex for each, then WarmEntry for each, then Get for each: the loads of one step do not depend on each other, so their latencies
// overlap. Neither changes anything; the value only keeps the load from being optimised away.

// WarmIndex loads the bucket of hash.
func (s *Shard) WarmIndex(hash uint64) uint64 { return s.index.first(hash).tags[0] }

// WarmEntry loads the beginning of the entry of hash, if its bucket seems to have one.
func (s *Shard) WarmEntry(hash uint64) uint64 {
	b := s.index.first(hash)
	tag := tagOf(hash)
	for w, tags := range b.tags {
		if m := lanes(tags, tag); m != 0 {
			return s.at(b.refs[(w*4+bits.TrailingZeros64(m)>>4)&(bucketSlots-1)]).hash
		}
	}
	return 0
}
