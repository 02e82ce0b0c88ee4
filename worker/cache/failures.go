package cache

import (
	"fmt"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Failures remembers for a short time which questions could not be answered, so that they are not asked again at once (RFC 9520). It is
// apart from the Shard because a failure must not take the place of an answer that may yet be served stale (RFC 8767 §5), and because it
// is looked at only after a miss.
//
// Memory is fixed: a set of failureWays entries for each hash modulo failureSets, of which the one that ends first makes room. So a flood of
// failing names costs a victim only the memory of its own failures. Entries are told apart by their keyed 64-bit hashes alone: nobody can
// aim for a collision, and one by chance denies a name for some seconds once in 2^52 new failures.
//
// One thread; times are ns and never go back. Nothing allocates but NewFailures.
type Failures struct {
	sets []failureSet
	mem  []byte
}

type failureSet [failureWays]failure

// failure is one question. The zero value is no failure, for it has ended.
type failure struct {
	hash  uint64
	until int64  // ns
	hold  uint32 // ms: how long it was held this time
	rcode uint16
}

// NewFailures maps an empty memory.
func NewFailures() (*Failures, error) {
	mem, err := sys.Map(failureSets * int(unsafe.Sizeof(failureSet{})))
	if err != nil {
		return nil, fmt.Errorf("memory of failures: %w", err)
	}
	return &Failures{sets: unsafe.Slice((*failureSet)(unsafe.Pointer(unsafe.SliceData(mem))), failureSets), mem: mem}, nil
}

// Close gives the memory back.
func (f *Failures) Close() error {
	err := sys.Unmap(f.mem)
	*f = Failures{}
	return err
}

// Held returns the rcode that the question of this hash failed with, while that is remembered.
func (f *Failures) Held(hash uint64, now int64) (rcode uint16, held bool) {
	set := &f.sets[hash%failureSets]
	for i := range set {
		if e := &set[i]; e.hash == hash && now < e.until {
			return e.rcode, true
		}
	}
	return 0, false
}

// Add remembers a failure for first ns. If the one before of the same question ended no longer ago than it had been held, this one is held for
// twice as long, up to most ns (RFC 9520 §3.2). Below 1 ms nothing is remembered.
func (f *Failures) Add(hash uint64, rcode uint16, now, first, most int64) {
	if first < millisecond {
		return
	}
	set := &f.sets[hash%failureSets]
	place := &set[0]
	hold := first
	for i := range set {
		e := &set[i]
		if e.hash == hash && e.until != 0 {
			place = e
			if last := int64(e.hold) * millisecond; now <= e.until+last {
				hold = min(2*last, most)
			}
			break
		}
		if e.until < place.until {
			place = e
		}
	}
	*place = failure{hash: hash, until: now + hold, hold: uint32(hold / millisecond), rcode: rcode}
}

// Forget is for a question that has been answered.
func (f *Failures) Forget(hash uint64) {
	set := &f.sets[hash%failureSets]
	for i := range set {
		if set[i].hash == hash {
			set[i] = failure{}
		}
	}
}

// Clear forgets all and returns how many were remembered. 192 KiB are written: some 20 us.
func (f *Failures) Clear(now int64) (n uint64) {
	for i := range f.sets {
		for j := range f.sets[i] {
			if now < f.sets[i][j].until {
				n++
			}
		}
		f.sets[i] = failureSet{}
	}
	return n
}

const millisecond = 1_000_000 // ns
