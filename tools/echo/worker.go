package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listen opens one socket of the SO_REUSEPORT group at addr.
func listen(addr netip.AddrPort) (int, error) {
	family, sockaddr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, sockaddr = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err == nil && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBufferBytes) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes)
	}
	if err == nil {
		wait := unix.NsecToTimeval(int64(receiveWait))
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("listen on %v: %w", addr, err), unix.Close(fd))
	}
	return fd, nil
}

// boundTo returns the address of fd, which has a port even where 0 was asked for.
func boundTo(fd int) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("getsockname: unexpected family %T", name)
}

// serve echoes for ever on its own thread, pinned to cpu unless that is negative. It returns only an error.
func serve(fd, cpu int) error {
	runtime.LockOSThread()
	if cpu >= 0 {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin to CPU %d: %w", cpu, err)
		}
	}
	b, err := newBatch()
	if err != nil {
		return err
	}
	for {
		if err := turn(fd, b); err != nil {
			return err
		}
	}
}

// turn echoes one batch.
func turn(fd int, b *batch) error {
	n, errno := b.receive(fd, false)
	if errno == unix.EAGAIN {
		n, errno = b.receive(fd, true)
	}
	switch errno {
	case 0:
	case unix.EINTR, unix.EAGAIN, unix.ECONNREFUSED:
		return nil
	default:
		return fmt.Errorf("recvmmsg: %w", errno)
	}
	for from := 0; from < n; {
		to := b.turnRound(from, n)
		if err := transmit(fd, b, from, to); err != nil {
			return err
		}
		from = to + 1
	}
	b.reset(n)
	return nil
}

// transmit sends messages from to to-1, or drops the rest when the kernel keeps refusing.
func transmit(fd int, b *batch, from, to int) error {
	for refusals := 0; from < to && refusals < sendRetriesMax; {
		n, errno := b.send(fd, from, to)
		from += n
		if errno == 0 {
			continue
		}
		if err := refused(errno); err != nil {
			return err
		}
		refusals++
		time.Sleep(sendPause)
	}
	return nil
}

// refused tells whether an error of sendmmsg is worth another try; a client that is gone is.
func refused(errno syscall.Errno) error {
	switch errno {
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ECONNREFUSED:
		return nil
	}
	return fmt.Errorf("sendmmsg: %w", errno)
}
