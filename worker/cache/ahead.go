package cache

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Ahead provides memory before a shard touches it. The first write to a huge page has the kernel clear 2 MiB, which takes it 0.1 to 1 ms,
// and a turn of the worker with a hundred new names touches as many places of an index that is new. So the shard says what it is going to
// touch, and another goroutine has the kernel provide it. Nothing waits for that: what is not there in time is faulted in by the worker
// after all.
//
// The zero value is ready. One shard at a time uses it; Work may be called from any goroutine.
type Ahead struct {
	state atomic.Uint32
	order [orderRegions][]byte // written in aheadNone, read in aheadBusy
}

// States of an Ahead: none to wanted and back by the shard, wanted to busy and busy to none by Work, busy to unwanted by the shard.
const (
	aheadNone uint32 = iota
	aheadWanted
	aheadBusy
	aheadUnwanted
)

const orderRegions = 2 // the index and a run of chunks

// Work does what the shard has ordered and reports whether there was anything to do. On a nil Ahead there never is.
func (a *Ahead) Work() bool {
	if a == nil || !a.state.CompareAndSwap(aheadWanted, aheadBusy) {
		return false
	}
	for _, region := range a.order {
		for len(region) > 0 && a.state.Load() == aheadBusy {
			n := min(len(region), sys.PopulateStep)
			if sys.Populate(region[:n]) != nil {
				break // an old kernel, or no memory: the worker's own writes will tell
			}
			region = region[n:]
		}
	}
	a.state.Store(aheadNone)
	return true
}

// idle reports whether a new order can be given.
func (a *Ahead) idle() bool { return a != nil && a.state.Load() == aheadNone }

// want gives an order. Only after idle.
func (a *Ahead) want(regions [orderRegions][]byte) {
	a.order = regions
	a.state.Store(aheadWanted)
}

// cancel withdraws the order: when it returns nobody touches the memory any more. It waits for one step of Work at most.
func (a *Ahead) cancel() {
	for a != nil {
		switch a.state.Load() {
		case aheadNone:
			return
		case aheadWanted:
			a.state.CompareAndSwap(aheadWanted, aheadNone)
		case aheadBusy:
			a.state.CompareAndSwap(aheadBusy, aheadUnwanted)
		case aheadUnwanted:
			runtime.Gosched()
		}
	}
}

// lookAhead orders the chunks that will be opened next, if they are new and nothing is on order.
func (s *Shard) lookAhead() {
	if s.ahead.idle() {
		if run := s.nextRun(); run != nil {
			s.ahead.want([orderRegions][]byte{run})
		}
	}
}

// startAhead orders what a new index and empty queues are going to touch.
func (s *Shard) startAhead() {
	if s.ahead.idle() {
		s.ahead.want([orderRegions][]byte{s.index.mem, s.nextRun()})
	}
}

// nextRun returns the memory of the first untouched chunks among the next aheadChunks free ones, as far as they lie together, and takes
// them for touched. They are opened from the front of the list, which is from high addresses to low.
func (s *Shard) nextRun() []byte {
	var run []byte
	id := s.free.front
	for range aheadChunks {
		if id == nowhere {
			break
		}
		c := &s.chunks[id]
		switch {
		case c.touched && run == nil:
		case c.touched || run != nil && !follows(c.mem, run):
			return run
		default:
			c.touched = true
			run = joined(c.mem, run)
		}
		id = c.prev
	}
	return run
}

// follows reports whether low ends where high begins.
func follows(low, high []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(low)))+uintptr(len(low)) == uintptr(unsafe.Pointer(unsafe.SliceData(high)))
}

// joined is low and, behind it, high, which may be nil.
func joined(low, high []byte) []byte { return unsafe.Slice(unsafe.SliceData(low), len(low)+len(high)) }
