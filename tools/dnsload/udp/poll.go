package udp

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll is an epoll set of flows, by index, level-triggered.
type poll struct {
	fd     int
	events [readyMax]unix.EpollEvent
	wait   unix.Timespec
}

func newPoll() (*poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poll{fd: fd}, nil
}

func (p *poll) add(fd int32, index int) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// ready waits up to timeout for flows that can be read, and returns how many: index i is flow(i). In a short wait it keeps its
// place in the Go scheduler, as giving it up and taking it back costs more; in a long one the scheduler may have it.
func (p *poll) ready(timeout time.Duration) (int, syscall.Errno) {
	var n uintptr
	var errno syscall.Errno
	events := uintptr(unsafe.Pointer(&p.events[0]))
	p.wait = unix.NsecToTimespec(int64(max(timeout, 0)))
	if timeout <= shortWait {
		n, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), events, readyMax, uintptr(unsafe.Pointer(&p.wait)), 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), events, readyMax, uintptr(unsafe.Pointer(&p.wait)), 0, 0)
	}
	switch errno {
	case 0:
		return int(n), 0
	case unix.EINTR:
		return 0, 0
	}
	return 0, errno
}

func (p *poll) flow(i int) int { return int(p.events[i].Fd) }

// doze sleeps for the given time, at most shortWait, without looking at any socket.
func (p *poll) doze(pause time.Duration) {
	p.wait = unix.NsecToTimespec(int64(pause))
	// EINTR only makes it shorter.
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&p.wait)), 0, 0)
}
