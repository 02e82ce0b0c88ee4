package sys

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timer makes a disarmed, nonblocking timerfd on the monotonic clock.
func Timer() (int, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("timerfd_create: %w", err)
	}
	return fd, nil
}

// StartTimer lets the timer expire once, after d.
func StartTimer(fd int, d time.Duration) syscall.Errno {
	setting := [2]Timespec{1: {Sec: int64(d / time.Second), Nsec: int64(d % time.Second)}}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&setting)), 0, 0, 0)
	return errno
}
