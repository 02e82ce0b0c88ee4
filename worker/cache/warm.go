package cache

import "math/bits"

// lineBytes is a cache line.
const lineBytes = 64

// Warm loads what Get will read for each of hashes, and changes nothing. A Get reads lines that are seldom in a core's cache, the bucket and
// then the entry's first two, which have header, key and the beginning of the records, and has to wait for each; here the loads of each kind stand close together and depend on nothing, so that the
// core has all of them under way at the same time (Go has no prefetch instruction, and a load among other work holds that up until it
// is done). The result only keeps the loads from being optimised away.
func (s *Shard) Warm(hashes []uint64) uint64 {
	var sum uint64
	for _, hash := range hashes {
		sum += s.index.first(hash).tags[0]
	}
	for _, hash := range hashes {
		b := s.index.first(hash)
		m0, m1 := lanes(b.tags[0], tagOf(hash)), lanes(b.tags[1], tagOf(hash))
		slot := bits.TrailingZeros64(m0) >> 4
		if m0 == 0 {
			if m1 == 0 {
				continue
			}
			slot = 4 + bits.TrailingZeros64(m1)>>4
		}
		ref := b.refs[slot&(bucketSlots-1)]
		mem, off := s.chunks[ref>>chunkBits].mem, int(ref&(1<<chunkBits-1))*unitBytes
		sum += entryAt(mem, off).hash
		if off+lineBytes < len(mem) {
			sum += uint64(mem[off+lineBytes])
		}
	}
	return sum
}
