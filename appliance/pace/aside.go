package pace

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// asideNice is how much nicer than others a thread is that works aside. The scheduler weighs it 110 where it weighs others 1024: a CPU that is never idle gives it a
// tenth, and a worker that takes less than nine tenths gets the CPU back the moment it wakes. Beside a thread of its own weight it must have taken less than half
// for that; if not, it waits for up to 4 ms, a tick. At three quarters (a nicer by 5) a worker at half load was slow to catch up with what had come during a pause.
const asideNice = 10

// Aside runs work on a thread of its own that others take precedence of, and returns when work has. With a nil p it just runs it.
func (p *Pace) Aside(work func()) {
	if p == nil {
		work()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread, which may not take its precedence back, ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			p.Aside(work) // the first thread does not end; while it is held, it is not the one that this gets
			runtime.UnlockOSThread()
			return
		}
		stepBack()
		work()
	}()
	<-done
}

// stepBack makes the calling thread nicer. Where a filter of system calls forbids that, rests alone must do.
func stepBack() {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // of the thread: setpriority(2), C library/kernel differences; 20 less the nice value
	if err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-raw+asideNice, 19))
	}
}
