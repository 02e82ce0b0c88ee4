package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Structures of recvmmsg(2) with addresses as plain words: they lie in mapped memory and point into it, where the garbage
// collector neither looks nor moves anything.
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

const (
	nameRoom = 32 // struct sockaddr_in6 has 28 bytes
	nameLen  = 28
	// stride of the payloads is an odd number of cache lines, so that consecutive ones share no set of the L1 cache.
	stride = datagramBytesMax + 64

	headerBytes = 12
	flagQR      = 0x80 // in byte 2
	flagRA      = 0x80 // in byte 3
)

// batch is one set of headers and payloads, used to receive and then, as they are, to send back.
type batch struct {
	headers []mmsghdr
	vectors []iovec
	names   []byte
	data    []byte
}

func newBatch() (*batch, error) {
	const each = int(unsafe.Sizeof(mmsghdr{})+unsafe.Sizeof(iovec{})) + nameRoom + stride
	memory, err := unix.Mmap(-1, 0, batchMax*each, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map the batch: %w", err)
	}
	b := &batch{}
	b.headers = unsafe.Slice((*mmsghdr)(unsafe.Pointer(unsafe.SliceData(memory))), batchMax)
	memory = memory[batchMax*unsafe.Sizeof(mmsghdr{}):]
	b.vectors = unsafe.Slice((*iovec)(unsafe.Pointer(unsafe.SliceData(memory))), batchMax)
	memory = memory[batchMax*unsafe.Sizeof(iovec{}):]
	b.names, b.data = memory[:batchMax*nameRoom], memory[batchMax*nameRoom:]
	for i := range b.headers {
		b.vectors[i] = iovec{base: address(&b.data[i*stride]), len: datagramBytesMax}
		b.headers[i].header = msghdr{
			name: address(&b.names[i*nameRoom]), nameLen: nameLen,
			iov: uint64(uintptr(unsafe.Pointer(&b.vectors[i]))), iovLen: 1,
		}
	}
	return b, nil
}

func address(p *byte) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// receive waits for a datagram, at most receiveWait (else EAGAIN), and reads what has come, up to a batch. Yielding, the Go
// scheduler may have the processor's place meanwhile; giving it up and taking it back costs the runtime some per cent of a
// core, so a busy worker does not.
func (b *batch) receive(fd int, yielding bool) (int, syscall.Errno) {
	call := syscall.RawSyscall6
	if yielding {
		call = syscall.Syscall6
	}
	n, _, errno := call(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), batchMax, unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// turnRound makes answers of the datagrams from from to n-1: QR and RA set, length as received. It stops before one that is
// too short for a DNS header, and returns where.
func (b *batch) turnRound(from, n int) int {
	for i := from; i < n; i++ {
		bytes := b.headers[i].len
		if bytes < headerBytes {
			return i
		}
		b.vectors[i].len = uint64(bytes)
		b.data[i*stride+2] |= flagQR
		b.data[i*stride+3] |= flagRA
	}
	return n
}

// send offers messages from to to-1 and returns how many were taken.
func (b *batch) send(fd, from, to int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// reset puts back what n received datagrams have changed.
func (b *batch) reset(n int) {
	for i := range n {
		b.headers[i].header.nameLen = nameLen
		b.vectors[i].len = datagramBytesMax
	}
}
