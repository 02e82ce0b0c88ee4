package policy

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// SetKind is what a set holds.
type SetKind uint8

const (
	SetNames    SetKind = iota // names: a name is in the set if it is one of them
	SetSuffixes                // names: also what is below them
	SetPrefixes                // prefixes: the client's address is in one of them
)

// SetKindNames are the names used in the configuration, by value.
var SetKindNames = [...]string{"names", "suffixes", "prefixes"}

// Set is an immutable set of names or prefixes. Of a name it keeps 64 bits of a hash that is keyed with a secret of this process: a name that
// is not in a set of n matches with a probability of n in 2^64, 5 in 10^14 for a million, and nobody can choose one that does.
//
// A name takes 11 to 21 bytes.
type Set struct {
	kind     SetKind
	table    []uint64 // open addressing; 0: free
	shift    uint8    // a hash's place is its high bits
	depths   [2]uint64
	deepest  int // labels of the longest name
	prefixes *bart.Lite
	count    int
}

// seed is the secret of this process.
var seed = maphash.MakeSeed()

// hashName is never 0.
func hashName(name []byte) uint64 { return maphash.Bytes(seed, name) | 1 }

// NewSet returns a set of names with room for n of them.
func NewSet(kind SetKind, n int) *Set {
	s := &Set{kind: kind}
	if kind == SetPrefixes {
		s.prefixes = new(bart.Lite)
		return s
	}
	s.resize(bits.Len(uint(max(n, 4) * 4 / 3)))
	return s
}

// resize makes a table of 1<<log words.
func (s *Set) resize(log int) {
	old := s.table
	s.table, s.shift = make([]uint64, 1<<log), uint8(64-log)
	for _, h := range old {
		if h != 0 {
			s.table[s.find(h)] = h
		}
	}
}

// find returns where h is, or the free place where it belongs.
func (s *Set) find(h uint64) int {
	mask := len(s.table) - 1
	at := int(h >> s.shift)
	for s.table[at] != 0 && s.table[at] != h {
		at = (at + 1) & mask
	}
	return at
}

// AddName adds a name, which the set does not keep. It is false if the name was there, and panics on a set of prefixes or a name that is none.
// A set must not be changed once anybody else has it.
func (s *Set) AddName(name []byte) bool {
	labels, i := 0, 0
	for ; name[i] != 0; i += 1 + int(name[i]) {
		labels++
	}
	if i != len(name)-1 || labels > labelsMax {
		panic(fmt.Sprintf("policy: %q is no name", string(name))) // the copy keeps name off the heap
	}
	h := hashName(name)
	at := s.find(h)
	if s.table[at] == h {
		return false
	}
	s.table[at] = h
	s.count++
	s.depths[labels>>6] |= 1 << (labels & 63)
	s.deepest = max(s.deepest, labels)
	if 4*s.count > 3*len(s.table) {
		s.resize(int(64-s.shift) + 1)
	}
	return true
}

// AddPrefix adds a prefix to a set of prefixes.
func (s *Set) AddPrefix(p netip.Prefix) {
	s.prefixes.Insert(p)
	s.count = s.prefixes.Size()
}

// Len returns how many names or prefixes there are.
func (s *Set) Len() int { return s.count }

// Kind returns what they are.
func (s *Set) Kind() SetKind { return s.kind }

// TableBytes returns the memory of the names.
func (s *Set) TableBytes() int { return 8 * len(s.table) }

// holds reports whether what q asks about is in the set.
func (s *Set) holds(q *Query) bool {
	if s.kind == SetPrefixes {
		return s.prefixes.Contains(q.Source.Addr())
	}
	if q.Name == nil || s.count == 0 {
		return false
	}
	if !q.hashed {
		q.hash(labelsMax)
	}
	if s.kind == SetNames {
		h := q.hashes[q.labels]
		return s.table[s.find(h)] == h
	}
	return s.below(q)
}

// below reports whether a suffix of the name is in the set. The first place of each is read before any is compared: the reads do not wait
// for each other, as memory of that size is seldom in the cache.
func (s *Set) below(q *Query) bool {
	most := min(q.labels, s.deepest)
	var first [8]uint64
	for from := 0; from <= most; from += len(first) {
		n := min(len(first), most+1-from)
		for i := range n {
			first[i] = s.table[q.hashes[from+i]>>s.shift]
		}
		for i := range n {
			depth := from + i
			if first[i] == 0 || s.depths[depth>>6]&(1<<(depth&63)) == 0 {
				continue
			}
			if h := q.hashes[depth]; first[i] == h || s.table[s.find(h)] == h {
				return true
			}
		}
	}
	return false
}

// SetRef is a set by name: the set behind it may be exchanged while it is in use.
type SetRef struct {
	Name string
	set  atomic.Pointer[Set]
}

// NewSetRef returns a reference to s.
func NewSetRef(name string, s *Set) *SetRef {
	r := &SetRef{Name: name}
	r.set.Store(s)
	return r
}

// Set returns the set that is in use.
func (r *SetRef) Set() *Set { return r.set.Load() }

// Use puts s in the place of the set in use. It must be of the same kind.
func (r *SetRef) Use(s *Set) {
	if s.kind != r.Set().kind {
		panic("policy: a set was exchanged for one of another kind")
	}
	r.set.Store(s)
}
