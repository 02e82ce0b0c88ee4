package cache

import (
	"fmt"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Denials remembers for which names the Shard holds an answer that they do not exist, so that nobody needs to be asked for names below them (RFC
// 8020). It tells only where to look: the answer itself, with its TTL and its SOA, is in the Shard, or is there no more.
//
// Memory is fixed: a set of denialWays entries for each hash modulo denialSets. What makes room is what has ended, else the name with the most labels,
// below which the fewest others are; so random names below one zone push out one another. Hashes are keyed; one that is equal by chance leads to no
// answer, because the Shard compares the whole key.
//
// One thread; times are seconds of the Shard's clock. Nothing allocates but NewDenials.
type Denials struct {
	sets []denialSet
	mem  []byte
}

type denialSet [denialWays]denial

// denial is one name. The zero value has ended.
type denial struct {
	hash   uint64
	until  uint32 // s
	qtype  uint16 // that was asked for when the name was found not to exist
	labels uint8
}

// NewDenials maps an empty memory.
func NewDenials() (*Denials, error) {
	mem, err := sys.Map(denialSets * int(unsafe.Sizeof(denialSet{})))
	if err != nil {
		return nil, fmt.Errorf("memory of denials: %w", err)
	}
	return &Denials{sets: unsafe.Slice((*denialSet)(unsafe.Pointer(unsafe.SliceData(mem))), denialSets), mem: mem}, nil
}

// Close gives the memory back.
func (d *Denials) Close() error {
	err := sys.Unmap(d.mem)
	*d = Denials{}
	return err
}

// Add remembers until when the name of this hash, of so many labels, is denied by the answer to its qtype.
func (d *Denials) Add(hash uint64, qtype uint16, labels int, now, until uint32) {
	set := &d.sets[hash%denialSets]
	place := &set[0]
	for i := range set {
		e := &set[i]
		if e.hash == hash {
			place = e
			break
		}
		if e.worth(now) < place.worth(now) {
			place = e
		}
	}
	fresh := denial{hash: hash, until: until, qtype: qtype, labels: uint8(min(labels, 255))}
	if place.hash == hash || place.worth(now) <= fresh.worth(now) {
		*place = fresh
	}
}

// worth orders entries by what is lost with them.
func (e *denial) worth(now uint32) int {
	if e.until <= now {
		return -1
	}
	return 255 - int(e.labels)
}

// Find returns the type to whose question the Shard has the answer that the name of this hash does not exist.
func (d *Denials) Find(hash uint64, now uint32) (qtype uint16, found bool) {
	set := &d.sets[hash%denialSets]
	for i := range set {
		if e := &set[i]; e.hash == hash && now < e.until {
			return e.qtype, true
		}
	}
	return 0, false
}
