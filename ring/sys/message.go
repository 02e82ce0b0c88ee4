package sys

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Iovec is struct iovec, Msghdr is struct msghdr and Mmsghdr is struct mmsghdr of a 64-bit Linux, with addresses as plain
// words: they live in memory from Map and point into it.
type (
	Iovec struct {
		Base, Len uint64
	}
	Msghdr struct {
		Name       uint64
		NameLen    uint32
		_          uint32
		Iov        uint64
		IovLen     uint64
		Control    uint64
		ControlLen uint64
		Flags      int32
		_          int32
	}
	Mmsghdr struct {
		Header Msghdr
		Len    uint32
		_      uint32
	}
)

var (
	_ [16]byte = [unsafe.Sizeof(Iovec{})]byte{}
	_ [56]byte = [unsafe.Sizeof(Msghdr{})]byte{}
	_ [32]byte = [unsafe.Offsetof(Msghdr{}.Control)]byte{}
	_ [48]byte = [unsafe.Offsetof(Msghdr{}.Flags)]byte{}
	_ [64]byte = [unsafe.Sizeof(Mmsghdr{})]byte{}
)

// Message flags and address families the engines use.
const (
	MessageDontWait  = unix.MSG_DONTWAIT
	MessageNoSignal  = unix.MSG_NOSIGNAL
	MessageWaitAll   = unix.MSG_WAITALL
	MessageTruncated = unix.MSG_TRUNC

	FamilyInet  = unix.AF_INET
	FamilyInet6 = unix.AF_INET6

	AcceptFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
)

// ControlBytesMax is room for the control messages of one datagram: one in6_pktinfo (40 bytes), twice in case the other
// family's was asked for as well.
const ControlBytesMax = 80

const (
	cmsgHeaderBytes = 16
	pktinfo4Bytes   = 12 // ifindex, local address for a reply, destination address in the header
	pktinfo6Bytes   = 20 // address, ifindex
)

// LocalAddress finds the local address of a received datagram in its control messages. IPv4 comes out in mapped form;
// ifindex is 0 unless the address is link-local. ok is false when there is none.
func LocalAddress(control []byte, local *[16]byte) (ifindex uint32, ok bool) {
	for len(control) >= cmsgHeaderBytes {
		length := binary.NativeEndian.Uint64(control)
		level := binary.NativeEndian.Uint32(control[8:])
		kind := binary.NativeEndian.Uint32(control[12:])
		if length < cmsgHeaderBytes || length > uint64(len(control)) {
			return 0, false
		}
		body := control[cmsgHeaderBytes:length]
		switch {
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(body) >= pktinfo4Bytes:
			*local = [16]byte{10: 0xff, 11: 0xff}
			copy(local[12:], body[4:8])
			return 0, true
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(body) >= pktinfo6Bytes:
			copy(local[:], body[:16])
			if local[0] == 0xfe && local[1]&0xc0 == 0x80 {
				ifindex = binary.NativeEndian.Uint32(body[16:])
			}
			return ifindex, true
		}
		control = control[min((length+7)&^7, uint64(len(control))):]
	}
	return 0, false
}

// PutLocalAddress writes the control message that makes a datagram leave from local, for a socket of the given family, and
// returns its bytes. dst has ControlBytesMax bytes. An IPv4 socket takes only a mapped address: 0 otherwise.
func PutLocalAddress(dst []byte, family int, local *[16]byte, ifindex uint32) int {
	if family == unix.AF_INET6 {
		const bytes = cmsgHeaderBytes + pktinfo6Bytes
		_ = dst[bytes-1]
		putControlHeader(dst, bytes, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO)
		copy(dst[cmsgHeaderBytes:], local[:])
		binary.NativeEndian.PutUint32(dst[cmsgHeaderBytes+16:], ifindex)
		return (bytes + 7) &^ 7
	}
	if [12]byte(local[:12]) != [12]byte{10: 0xff, 11: 0xff} {
		return 0
	}
	const bytes = cmsgHeaderBytes + pktinfo4Bytes
	_ = dst[bytes-1]
	putControlHeader(dst, bytes, unix.IPPROTO_IP, unix.IP_PKTINFO)
	binary.NativeEndian.PutUint32(dst[cmsgHeaderBytes:], ifindex)
	copy(dst[cmsgHeaderBytes+4:], local[12:])
	binary.NativeEndian.PutUint32(dst[cmsgHeaderBytes+8:], 0)
	return (bytes + 7) &^ 7
}

// PutSegment writes the control message that has the kernel cut a message into datagrams of so many bytes, the last one maybe shorter, and
// returns its bytes. dst has ControlBytesMax bytes.
func PutSegment(dst []byte, bytes uint16) int {
	_ = dst[cmsgHeaderBytes+7]
	putControlHeader(dst, cmsgHeaderBytes+2, unix.SOL_UDP, unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(dst[cmsgHeaderBytes:], bytes)
	return cmsgHeaderBytes + 8
}

// CutsMessages reports whether the kernel knows UDP_SEGMENT: Linux 4.18. One that does not takes no notice of the control message and would send a train as one
// datagram.
func CutsMessages(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	return err == nil
}

func putControlHeader(dst []byte, bytes uint64, level, kind uint32) {
	binary.NativeEndian.PutUint64(dst, bytes)
	binary.NativeEndian.PutUint32(dst[8:], level)
	binary.NativeEndian.PutUint32(dst[12:], kind)
}

// RecvMany receives up to n datagrams into consecutive headers without waiting. Raw: it never blocks.
func RecvMany(fd int, first *Mmsghdr, n int) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(first)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// SendMany sends n datagrams from consecutive headers without waiting and returns how many the kernel took; an error is
// that of the first one when none was taken. Raw: it never blocks.
func SendMany(fd int, first *Mmsghdr, n int) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(first)), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), errno
}
