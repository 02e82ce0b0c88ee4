package sys

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Readiness bits of an EpollEvent, and the edge-triggered mode.
const (
	EpollIn     = uint32(unix.EPOLLIN)
	EpollOut    = uint32(unix.EPOLLOUT)
	EpollHangUp = uint32(unix.EPOLLRDHUP)               // the peer has finished; watch it to see it
	EpollOver   = uint32(unix.EPOLLERR | unix.EPOLLHUP) // always watched
	EpollEdge   = uint32(1) << 31
)

// EpollEvent is struct epoll_event, packed or not as the architecture has it.
type EpollEvent = unix.EpollEvent

// Epoll is an epoll instance with its event array off the Go heap. One thread only.
type Epoll struct {
	fd     int
	memory []byte
	events []EpollEvent
	limit  *Timespec
	coarse bool // no epoll_pwait2 (before 5.11, or forbidden): whole milliseconds
}

// OpenEpoll makes an instance that returns at most n events at once.
func OpenEpoll(n int) (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	head := int(unsafe.Sizeof(Timespec{}))
	memory, err := Map(head + n*int(unsafe.Sizeof(EpollEvent{})))
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	first := unsafe.Pointer(unsafe.SliceData(memory))
	return &Epoll{
		fd: fd, memory: memory, limit: (*Timespec)(first),
		events: unsafe.Slice((*EpollEvent)(unsafe.Add(first, head)), n),
	}, nil
}

// Close closes the instance.
func (e *Epoll) Close() error {
	err := CloseFD(e.fd)
	_ = Unmap(e.memory)
	return err
}

// epollParams is struct epoll_params.
type epollParams struct {
	busyPollMicros uint32
	budget         uint16 // packets for each poll; 0: the kernel's default
	preferBusyPoll uint8
	_              uint8
}

var _ [8]byte = [unsafe.Sizeof(epollParams{})]byte{}

// BusyPoll lets every wait poll the receive queues of the watched sockets' network cards for so long before it sleeps, in whole
// microseconds; 0 never. ENOTTY before Linux 6.9.
func (e *Epoll) BusyPoll(limit time.Duration) error {
	p := epollParams{busyPollMicros: uint32(limit / time.Microsecond)}
	if limit > 0 {
		p.preferBusyPoll = 1
	}
	return e.params(unix.EPIOCSPARAMS, &p)
}

// BusyPolls returns what BusyPoll has set.
func (e *Epoll) BusyPolls() (time.Duration, error) {
	var p epollParams
	err := e.params(unix.EPIOCGPARAMS, &p)
	return time.Duration(p.busyPollMicros) * time.Microsecond, err
}

func (e *Epoll) params(op uintptr, p *epollParams) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), op, uintptr(unsafe.Pointer(p))); errno != 0 {
		return fmt.Errorf("busy polling of epoll: %w", errno)
	}
	return nil
}

// Add watches fd for the given bits; events carry key in their Fd field.
func (e *Epoll) Add(fd int, bits uint32, key int32) error {
	event := EpollEvent{Events: bits, Fd: key}
	if err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl add: %w", err)
	}
	return nil
}

// Remove stops watching fd, if it is watched. Closing the descriptor does the same.
func (e *Epoll) Remove(fd int) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
}

// Wait returns the events that are ready, waiting at most so long for the first; negative means without bound. With raw the
// Go scheduler is not told: only for short waits. The slice is valid until the next Wait. EINTR gives an empty slice.
func (e *Epoll) Wait(limit time.Duration, raw bool) ([]EpollEvent, syscall.Errno) {
	for {
		n, errno := e.wait(limit, raw)
		if (errno == syscall.ENOSYS || errno == syscall.EPERM) && !e.coarse {
			e.coarse = true
			continue
		}
		if errno == syscall.EINTR {
			return e.events[:0], 0
		}
		if errno != 0 {
			return e.events[:0], errno
		}
		return e.events[:n], 0
	}
}

func (e *Epoll) wait(limit time.Duration, raw bool) (int, syscall.Errno) {
	first, count := uintptr(unsafe.Pointer(unsafe.SliceData(e.events))), uintptr(len(e.events))
	trap, timeout := uintptr(unix.SYS_EPOLL_PWAIT2), uintptr(0)
	switch {
	case e.coarse:
		trap = unix.SYS_EPOLL_PWAIT
		timeout = ^uintptr(0)
		if limit >= 0 {
			timeout = uintptr(min((limit+time.Millisecond-1)/time.Millisecond, 1<<30))
		}
	case limit >= 0:
		*e.limit = Timespec{Sec: int64(limit / time.Second), Nsec: int64(limit % time.Second)}
		timeout = uintptr(unsafe.Pointer(e.limit))
	}
	if limit == 0 || raw {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(e.fd), first, count, timeout, 0, 0)
		return int(n), errno
	}
	n, _, errno := syscall.Syscall6(trap, uintptr(e.fd), first, count, timeout, 0, 0)
	return int(n), errno
}
