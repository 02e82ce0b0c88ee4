package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PeerName puts the peer's socket address into name and returns its length. ENOTCONN when the peer is gone already.
func PeerName(fd int, name *[28]byte) (uint8, syscall.Errno) {
	length := uint32(len(name))
	_, _, errno := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&length)))
	if errno != 0 || length > uint32(len(name)) {
		return 0, errno
	}
	return uint8(length), 0
}

// Accept takes one connection from a nonblocking listener, nonblocking and close-on-exec itself, and its peer's address.
func Accept(fd int, name *[28]byte) (accepted int, nameLen uint8, errno syscall.Errno) {
	length := uint32(len(name))
	r, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&length)), AcceptFlags, 0, 0)
	if errno != 0 {
		return -1, 0, errno
	}
	return int(r), uint8(min(length, uint32(len(name)))), 0
}

// Recv reads what a stream has, without waiting: 0 is end of file, EAGAIN nothing yet.
func Recv(fd int, buf []byte) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// Send writes what a stream takes of the n bytes at address, without waiting and without SIGPIPE.
func Send(fd int, address uint64, n uint32) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(address), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), errno
}

// Shutdown ends both directions of a socket, which completes every operation pending on it. Errors mean that there was
// nothing to end.
func Shutdown(fd int) {
	_, _, _ = syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_RDWR, 0)
}
