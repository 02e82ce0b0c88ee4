package inflight

// index finds slots by key: open addressing with linear probing over a power of two at least twice the number of slots, so probes stay
// short even when every slot is open.
//
// A removal moves later entries of the same run back over the hole, so there are no tombstones and lookups never get slower with age.
type index struct {
	entries []indexEntry
	mask    uint32
}

// indexEntry is 8 bytes: eight to a cache line. The tag gives the entry's home position (its low bits) and tells all but one in four
// billion other keys apart without touching their slots.
type indexEntry struct {
	tag  uint32
	link uint32 // slot + 1, 0: empty
}

// tagOf folds the 64-bit hash, so that both halves count.
func tagOf(hash uint64) uint32 { return uint32(hash) ^ uint32(hash>>32) }

// insert adds a slot whose key is not in the index. There is always room: at most half of the entries are ever in use.
func (x *index) insert(hash uint64, slot uint32) {
	tag := tagOf(hash)
	at := tag & x.mask
	for x.entries[at].link != 0 {
		at = (at + 1) & x.mask
	}
	x.entries[at] = indexEntry{tag: tag, link: slot + 1}
}

// remove takes a slot out that is in the index.
func (x *index) remove(hash uint64, slot uint32) {
	hole := tagOf(hash) & x.mask
	for x.entries[hole].link != slot+1 {
		if x.entries[hole].link == 0 {
			panic("inflight: an open slot is not in the index")
		}
		hole = (hole + 1) & x.mask
	}
	for at := (hole + 1) & x.mask; x.entries[at].link != 0; at = (at + 1) & x.mask {
		// An entry may move back to the hole only if that is not before its home: compare distances, which wrap with the table.
		home := x.entries[at].tag & x.mask
		if (at-home)&x.mask >= (at-hole)&x.mask {
			x.entries[hole] = x.entries[at]
			hole = at
		}
	}
	x.entries[hole] = indexEntry{}
}
