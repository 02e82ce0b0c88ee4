package limit

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// table holds the buckets.
type table struct {
	keys [4]uint64
	seed maphash.Seed
	sets []set
	mem  []byte
}

type set [ways]entry

// entry is one bucket. The zero value is a full one that nobody has.
type entry struct {
	tag  uint64
	full int64 // ns: when it is full again, if nothing more is taken
}

// rule is how one kind of bucket fills.
type rule struct {
	interval int64 // ns to a token; 0: there is no limit
	depth    int64 // ns in which an empty one is full
}

func (t *table) open() error {
	mem, err := sys.Map(sets * int(unsafe.Sizeof(set{})))
	if err != nil {
		return fmt.Errorf("table of limits: %w", err)
	}
	var random [8 * len(t.keys)]byte
	crand.Read(random[:]) // Never fails: it ends the program instead.
	for i := range t.keys {
		t.keys[i] = binary.LittleEndian.Uint64(random[8*i:]) | 1
	}
	t.seed, t.mem, t.sets = maphash.MakeSeed(), mem, unsafe.Slice((*set)(unsafe.Pointer(unsafe.SliceData(mem))), sets)
	return nil
}

func (t *table) close() error {
	err := sys.Unmap(t.mem)
	*t = table{}
	return err
}

// tag names the bucket of a kind for a source of a group: two rounds of wyhash's mixing, with keys that nobody knows. maphash takes twice as long.
func (t *table) tag(k Kind, group uint8, s source) uint64 {
	return mix(mix(s.high^t.keys[0], s.low^t.keys[1])^uint64(k)^uint64(group)<<8^t.keys[2], t.keys[3])
}

// mix folds the product of two numbers.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// bucket returns the bucket of a tag. If it is not there it is made, in the place of the fullest one of its set.
func (t *table) bucket(tag uint64) *entry {
	set := &t.sets[tag%sets]
	fullest := &set[0]
	for i := range set {
		e := &set[i]
		if e.tag == tag {
			return e
		}
		if e.full < fullest.full {
			fullest = e
		}
	}
	*fullest = entry{tag: tag}
	return fullest
}

// take takes a token, if there is one, and reports whether there was.
func (e *entry) take(r *rule, now int64) bool {
	full := max(e.full, now) + r.interval
	if full > now+r.depth {
		return false
	}
	e.full = full
	return true
}

// owe takes a token, on credit if there is none, and reports whether there was one. Debt never grows beyond what takes debt ns to pay.
func (e *entry) owe(r *rule, now, debt int64) bool {
	full := max(e.full, now) + r.interval
	e.full = min(full, now+r.depth+debt)
	return full <= now+r.depth
}
