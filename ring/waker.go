package ring

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"secure-dns-proxy/ring/sys"
)

// States of a Waker. Only the worker stores idle and armed; wakers move armed to idle; Close is final.
const (
	wakerIdle uint32 = iota
	wakerArmed
	wakerClosed
)

// Waker wakes a worker out of Turn from any goroutine. It is an eventfd and a word that says whether anyone sleeps, so that
// waking a busy worker costs one atomic load and no system call.
//
// The worker calls Arm, looks at its queues once more, then Turn(wait > 0), then Disarm. A producer fills a queue, then calls
// Wake. Either the worker's second look sees the work, or Wake sees the armed word: no wake-up is lost.
type Waker struct {
	_       [128]byte // the words below are written by other CPUs: keep them off the worker's own lines
	state   atomic.Uint32
	writers atomic.Int32 // goroutines between the armed check and the end of their write
	fd      int
	_       [128]byte
}

// NewWaker makes a waker for an engine. The engine that reads FD closes it through Close.
func NewWaker() (*Waker, error) {
	fd, err := sys.Eventfd()
	if err != nil {
		return nil, fmt.Errorf("waker: %w", err)
	}
	return &Waker{fd: fd}, nil
}

// FD is the eventfd, in blocking mode. Only the engine may read it.
func (w *Waker) FD() int { return w.fd }

// Arm says that the worker is about to sleep. Worker thread only.
func (w *Waker) Arm() { w.state.Store(wakerArmed) }

// Disarm says that the worker is awake. Worker thread only.
func (w *Waker) Disarm() { w.state.Store(wakerIdle) }

// Wake ends the worker's current or next sleep if the waker is armed, else does nothing. Safe from any goroutine and after Close.
func (w *Waker) Wake() {
	if w.state.Load() != wakerArmed {
		return
	}
	w.writers.Add(1)
	if w.state.CompareAndSwap(wakerArmed, wakerIdle) {
		sys.SignalEventfd(w.fd)
	}
	w.writers.Add(-1)
}

// Close closes the eventfd once no Wake can still write to it, so that a reused descriptor number is never written.
// Worker thread only; the engine calls it in Shutdown.
func (w *Waker) Close() error {
	if w.state.Swap(wakerClosed) == wakerClosed {
		return nil
	}
	for w.writers.Load() != 0 { // a writer is inside one write(2): microseconds
		runtime.Gosched()
	}
	return sys.CloseFD(w.fd)
}
