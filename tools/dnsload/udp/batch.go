package udp

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Structures of recvmmsg(2) with addresses as plain words. What they point to never moves: mapped memory, or the slots of a
// pending table, which the sender keeps.
type (
	iovec  struct{ base, len uint64 }
	msghdr struct {
		name       uint64
		nameLen    uint32
		_          uint32
		iov        uint64
		iovLen     uint64
		control    uint64
		controlLen uint64
		flags      int32
		_          int32
	}
	mmsghdr struct {
		header msghdr
		len    uint32
		_      uint32
	}
)

var _ [64]byte = [unsafe.Sizeof(mmsghdr{})]byte{}

// batch is the headers of up to batchMax datagrams of a connected socket, for one direction. For receiving each has a buffer;
// for sending put points it at a packet.
type batch struct {
	headers []mmsghdr
	vectors []iovec
	buffers []byte
}

const headerBytes = int(unsafe.Sizeof(mmsghdr{}) + unsafe.Sizeof(iovec{}))

// newBatch maps memory for one batch with a buffer of the given size per datagram, 0 for none.
func newBatch(bufferBytes int) (*batch, error) {
	memory, err := unix.Mmap(-1, 0, batchMax*(headerBytes+bufferBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map a batch: %w", err)
	}
	b := &batch{
		headers: unsafe.Slice((*mmsghdr)(unsafe.Pointer(unsafe.SliceData(memory))), batchMax),
		buffers: memory[batchMax*headerBytes:],
	}
	b.vectors = unsafe.Slice((*iovec)(unsafe.Pointer(&memory[batchMax*unsafe.Sizeof(mmsghdr{})])), batchMax)
	for i := range b.headers {
		b.headers[i].header = msghdr{iov: uint64(uintptr(unsafe.Pointer(&b.vectors[i]))), iovLen: 1}
		if bufferBytes > 0 {
			b.vectors[i] = iovec{base: address(b.buffers[i*bufferBytes:]), len: uint64(bufferBytes)}
		}
	}
	return b, nil
}

func (b *batch) close() error {
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b.headers))), batchMax*headerBytes+len(b.buffers)))
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// put makes packet the i-th datagram to send; it stays as it is until it is sent.
func (b *batch) put(i int, packet []byte) {
	b.vectors[i] = iovec{base: address(packet), len: uint64(len(packet))}
}

// send offers datagrams from to to-1 and returns how many were taken.
func (b *batch) send(fd int32, from, to int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[from])), uintptr(to-from), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// receive reads what is there, up to a batch. Without names and control messages the kernel changes nothing in a header that
// the next call needs back.
func (b *batch) receive(fd int32) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), batchMax, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// message is the i-th datagram received, at most readBytes of it, valid until the next receive.
func (b *batch) message(i int) []byte {
	return b.buffers[i*readBytes:][:min(int(b.headers[i].len), readBytes)]
}
