package cache

import (
	"fmt"
	"math/bits"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

const bucketSlots = 8

// bucket is one cache line of the index. A key belongs to its first bucket; if that is full, to its second.
type bucket struct {
	tags     [2]uint64           // 8 x 16 bits of the hash, never 0; 0 = free slot
	refs     [bucketSlots]uint32 // where the entry is
	ghosts   [7]uint16           // other 16 bits of the hashes that probation dropped lately, in a ring
	overflow uint8               // entries of this bucket that live in their second one; 255 stays
	ghostAt  uint8
}

// index finds entries by hash. Its memory is off-heap and starts as zeros, which is an empty index.
type index struct {
	mem     []byte
	buckets []bucket // the same memory
}

// place is a slot of the index. second says that it is in the key's second bucket.
type place struct {
	bucket *bucket
	slot   int
	second bool
}

func openIndex(chunks int) (index, error) {
	n := chunks * bucketsPerChunk
	mem, err := sys.Map(n * int(unsafe.Sizeof(bucket{})))
	if err != nil {
		return index{}, fmt.Errorf("cache index: %w", err)
	}
	return index{mem, unsafe.Slice((*bucket)(unsafe.Pointer(unsafe.SliceData(mem))), n)}, nil
}

// wipe empties the index and gives its memory back.
func (x *index) wipe() {
	if sys.Discard(x.mem) != nil {
		clear(x.mem) // locked memory cannot be given back, but it can be emptied
		return
	}
	clear(x.mem[max(0, len(x.mem)-64<<10):]) // Discard takes whole pages only, and pages have 64 KiB at most
}

func (x *index) first(hash uint64) *bucket {
	i, _ := bits.Mul64(hash, uint64(len(x.buckets)))
	return &x.buckets[i]
}

func (x *index) second(hash uint64) *bucket {
	return x.first(hash * 0x9E3779B97F4A7C15)
}

const (
	laneOnes = 0x0001000100010001
	laneLows = 0x7FFF * laneOnes
)

// lanes marks the 16-bit lanes of tags that equal tag, with their highest bit. The sum cannot carry from lane to lane.
func lanes(tags uint64, tag uint16) uint64 {
	x := tags ^ uint64(tag)*laneOnes
	return ^(x&laneLows + laneLows | x | laneLows)
}

func tagOf(hash uint64) uint16 { return max(1, uint16(hash)) }

func ghostOf(hash uint64) uint16 { return max(1, uint16(hash>>16)) }

// freeSlot is the first free slot, or -1.
func (b *bucket) freeSlot() int {
	for w, tags := range b.tags {
		if m := lanes(tags, 0); m != 0 {
			return w*4 + bits.TrailingZeros64(m)>>4
		}
	}
	return -1
}

func (b *bucket) set(slot int, tag uint16, ref uint32) {
	shift := uint(slot&3) * 16
	b.tags[slot>>2] = b.tags[slot>>2]&^(0xFFFF<<shift) | uint64(tag)<<shift
	b.refs[slot] = ref
}

// findRef finds the slot that holds ref.
func (x *index) findRef(hash uint64, ref uint32) (place, bool) {
	tag := tagOf(hash)
	for i, b := range [2]*bucket{x.first(hash), x.second(hash)} {
		for w, tags := range b.tags {
			for m := lanes(tags, tag); m != 0; m &= m - 1 {
				if slot := w*4 + bits.TrailingZeros64(m)>>4; b.refs[slot] == ref {
					return place{b, slot, i == 1}, true
				}
			}
		}
	}
	return place{}, false
}

// remove frees a slot.
func (x *index) remove(at place, hash uint64) {
	at.bucket.set(at.slot, 0, 0)
	if first := x.first(hash); at.second && first.overflow < 255 {
		first.overflow--
	}
}

// add enters ref in the first or second bucket of hash, false if both are full.
func (x *index) add(hash uint64, ref uint32) bool {
	first := x.first(hash)
	if slot := first.freeSlot(); slot >= 0 {
		first.set(slot, tagOf(hash), ref)
		return true
	}
	second := x.second(hash)
	slot := second.freeSlot()
	if slot < 0 {
		return false
	}
	second.set(slot, tagOf(hash), ref)
	if first.overflow < 255 {
		first.overflow++
	}
	return true
}

// haunt leaves a ghost: if the key comes back soon, it was dropped too early.
func (x *index) haunt(hash uint64) {
	b := x.first(hash)
	b.ghosts[b.ghostAt] = ghostOf(hash)
	b.ghostAt++
	if int(b.ghostAt) == len(b.ghosts) {
		b.ghostAt = 0
	}
}

// exorcise says whether there was a ghost, and removes it.
func (x *index) exorcise(hash uint64) bool {
	b := x.first(hash)
	for i, g := range b.ghosts {
		if g == ghostOf(hash) {
			b.ghosts[i] = 0
			return true
		}
	}
	return false
}
