package sys

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Eventfd makes a counter descriptor in blocking mode: an io_uring read of a nonblocking one would complete with EAGAIN
// at once instead of waiting.
func Eventfd() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("eventfd: %w", err)
	}
	return fd, nil
}

// SignalEventfd adds one to the counter. It does not block unless 2^64-2 signals are unread. Any goroutine; no allocation.
func SignalEventfd(fd int) syscall.Errno {
	one := uint64(1)
	_, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
	return errno
}

// DrainEventfd resets the counter. It blocks when the counter is zero, so call it only on a descriptor known to be readable.
func DrainEventfd(fd int) syscall.Errno {
	var count uint64
	_, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&count)), 8)
	return errno
}
