package shared

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Directory says which questions are under way, and who waits for another worker's answer to them. Make it with NewDirectory.
type Directory struct {
	mem     []byte
	entries []question
}

// question is one entry.
//
//	state   open (1 bit) | alone (1 bit) | part of the hash (30 bits) | followers (32 bits)
//	until   ns. open: the owner will have done something by then. alone: until then nobody follows nor is followed
type question struct {
	state atomic.Uint64
	until atomic.Int64
}

const (
	stateOpen      = 1 << 63
	stateAlone     = 1 << 62
	stateTag       = 1<<62 - 1<<FollowerBits
	stateFollowers = 1<<FollowerBits - 1
)

// Role is what Join makes of a worker.
type Role uint8

const (
	Alone    Role = iota // it asks by itself: nobody follows
	Owner                // it asks, and owes a Release
	Follower             // another one is asking, and will tell it
)

func (r Role) String() string { return [...]string{"alone", "owner", "follower"}[r] }

// NewDirectory maps a directory for workers whose in-flight tables have so many slots together.
func NewDirectory(slots int) (*Directory, error) {
	n := 1 << bits.Len(uint(min(max(slots*entriesPerSlot, entriesMin), entriesMax)-1))
	mem, err := sys.Map(n * int(unsafe.Sizeof(question{})))
	if err != nil {
		return nil, fmt.Errorf("directory of questions: %w", err)
	}
	return &Directory{mem: mem, entries: unsafe.Slice((*question)(unsafe.Pointer(unsafe.SliceData(mem))), n)}, nil
}

// Close gives the memory back. Nobody may use the directory any more.
func (d *Directory) Close() error {
	err := sys.Unmap(d.mem)
	*d = Directory{}
	return err
}

// at returns the only entry for a hash, and the tag that tells it from others there. The index is taken from the lowest bits, the tag from
// the highest.
func (d *Directory) at(hash uint64) (q *question, tag uint64) {
	return &d.entries[hash&uint64(len(d.entries)-1)], hash >> (64 - 30) << FollowerBits
}

// bit is the mark of a worker among the followers.
func bit(worker int) uint64 { return 1 << (worker % FollowerBits) }

// Join asks for a part in the question of hash. As Owner the worker asks, is done or calls Expect before until, and owes a Release. As Follower
// it will be told by whoever called Release; expect is when that worker will have done something.
func (d *Directory) Join(hash uint64, worker int, now, until int64) (role Role, expect int64) {
	q, tag := d.at(hash)
	for range joinTries {
		state := q.state.Load()
		same := state&stateTag == tag
		switch {
		case state&stateOpen != 0 && !same:
			return Alone, 0
		case state&stateOpen != 0:
			if q.state.CompareAndSwap(state, state|bit(worker)) {
				return Follower, q.until.Load()
			}
		case state&stateAlone != 0 && same && now < q.until.Load():
			return Alone, 0
		case q.state.CompareAndSwap(state, stateOpen|tag):
			q.until.Store(until)
			return Owner, until
		}
	}
	return Alone, 0
}

// Expect says when the owner of a question will have done something. Owner only.
func (d *Directory) Expect(hash uint64, until int64) {
	q, _ := d.at(hash)
	q.until.Store(until)
}

// Follows reports whether worker is a follower of the question, and until when the owner will have done something.
func (d *Directory) Follows(hash uint64, worker int) (expect int64, ok bool) {
	q, tag := d.at(hash)
	state := q.state.Load()
	return q.until.Load(), state&stateOpen != 0 && state&stateTag == tag && state&bit(worker) != 0
}

// Release ends the question: who comes later asks anew. It returns the followers, worker i as bit i%FollowerBits, whom the owner tells. aloneUntil
// above 0: the answer is none that can be shared, so nobody is to wait for it until then. Owner only.
func (d *Directory) Release(hash uint64, aloneUntil int64) (followers uint32) {
	q, tag := d.at(hash)
	var next uint64
	if aloneUntil > 0 {
		q.until.Store(aloneUntil)
		next = stateAlone | tag
	}
	return uint32(q.state.Swap(next) & stateFollowers)
}
