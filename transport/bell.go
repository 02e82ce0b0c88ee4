package transport

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bell wakes a driver that sleeps in the runtime's poller, from a worker's thread or any goroutine, without the ringer taking a
// lock or making a goroutine runnable: an eventfd is written, and only if the driver is known to sleep.
//
// A wake-up cannot be lost: the driver sets asleep, then looks whether there is work; the ringer makes the work visible, then looks
// at state. Both are sequentially consistent, so at least one sees the other.
type bell struct {
	file    *os.File      // the eventfd, in the poller; used by the driver only
	until   time.Duration // read deadline that file has, 0 none; driver only
	fd      int
	state   atomic.Uint32 // awake, asleep, napping, closed
	ringing atomic.Int32  // ringers between their look at state and their write: keeps close from closing fd under them
	called  atomic.Bool   // something other than a query wants attention
}

const (
	awake uint32 = iota
	asleep
	napping // asleep, but not for queries
	closed
)

var bellOne uint64 = 1 // what is written to an eventfd; never changes

func newBell() (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &bell{fd: fd, file: os.NewFile(uintptr(fd), "lane")}, nil
}

// ring wakes the driver if it sleeps for queries. Whatever it is to find must be visible before. It allocates nothing.
func (b *bell) ring() {
	if b.state.Load() == asleep {
		b.wake(asleep)
	}
}

// wake writes the eventfd if the driver is still in the given state.
func (b *bell) wake(from uint32) {
	b.ringing.Add(1)
	if b.state.CompareAndSwap(from, awake) {
		// Raw: the counter of an eventfd never blocks here, and Syscall would let the scheduler take the worker's P. It cannot fail but
		// with EAGAIN, at 2^64-1 rings unread.
		unix.RawSyscall(unix.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&bellOne)), 8)
	}
	b.ringing.Add(-1)
}

// call is ring for what is not a query: it wakes a napping driver too, and keeps one from falling asleep.
func (b *bell) call() {
	b.called.Store(true)
	if s := b.state.Load(); s == asleep || s == napping {
		b.wake(s)
	}
}

// arm announces that the driver is going to sleep, in the state asleep or napping. It then looks for work once more, and calls sleep or
// disarm.
func (b *bell) arm(as uint32) { b.state.CompareAndSwap(awake, as) }

// disarm ends what arm began. A ring that came between leaves a count in the eventfd, and the next sleep returns at once.
func (b *bell) disarm() {
	if s := b.state.Load(); s == asleep || s == napping {
		b.state.CompareAndSwap(s, awake)
	}
}

// sleep waits for a ring, or for until (time since Base, 0 = no bound). It may return earlier for no reason.
func (b *bell) sleep(until time.Duration) {
	// A deadline that is already set and comes no later is left alone: setting one costs more than the odd early return.
	if now := Now(); b.until != 0 && (until == 0 || b.until <= now) || until != 0 && (b.until == 0 || until < b.until) {
		b.until = until
		deadline := time.Time{}
		if until != 0 {
			deadline = Base.Add(until)
		}
		if err := b.file.SetReadDeadline(deadline); err != nil {
			panic(fmt.Sprintf("transport: deadline of an eventfd that only its driver uses: %v", err))
		}
	}
	var count [8]byte
	if _, err := b.file.Read(count[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic(fmt.Sprintf("transport: read of an eventfd that only its driver uses: %v", err))
	}
}

// close makes every later ring do nothing and closes the eventfd. The driver has returned.
func (b *bell) close() error {
	b.state.Store(closed)
	for b.ringing.Load() != 0 {
		time.Sleep(50 * time.Microsecond) // at most one write to an eventfd away
	}
	return b.file.Close()
}
