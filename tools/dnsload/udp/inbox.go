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

var (
	_ [16]byte = [unsafe.Sizeof(iovec{})]byte{}
	_ [56]byte = [unsafe.Sizeof(msghdr{})]byte{}
	_ [64]byte = [unsafe.Sizeof(mmsghdr{})]byte{}
)

// mapped returns zeroed memory off the Go heap, present from the start.
func mapped(bytes int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", bytes, err)
	}
	return memory, nil
}

// cut takes n values of type T from the front of memory.
func cut[T any](memory *[]byte, n int) []T {
	var one T
	values := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(*memory))), n)
	*memory = (*memory)[n*int(unsafe.Sizeof(one)):]
	return values
}

func address[T any](values []T) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(values))))
}

// inbox is the headers and buffers of one batch of datagrams to receive on a connected socket.
type inbox struct {
	memory  []byte
	headers []mmsghdr
	buffers []byte
}

func newInbox() (*inbox, error) {
	memory, err := mapped(batchMax * (int(unsafe.Sizeof(mmsghdr{})+unsafe.Sizeof(iovec{})) + readBytes))
	if err != nil {
		return nil, err
	}
	rest := memory
	in := &inbox{memory: memory, headers: cut[mmsghdr](&rest, batchMax)}
	vectors := cut[iovec](&rest, batchMax)
	in.buffers = rest
	for i := range in.headers {
		vectors[i] = iovec{base: address(in.buffers[i*readBytes:]), len: readBytes}
		in.headers[i].header = msghdr{iov: address(vectors[i:]), iovLen: 1}
	}
	return in, nil
}

// receive reads what is there, up to most datagrams, 1 to batchMax. Without names and control messages the kernel changes nothing
// in a header that the next call needs back. For one there is a cheaper call.
func (in *inbox) receive(fd int32, most int) (int, syscall.Errno) {
	if most == 1 {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&in.buffers[0])), readBytes, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		in.headers[0].len = uint32(n)
		return 1, 0
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.headers[0])), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// message is the i-th datagram received, at most readBytes of it, valid until the next receive.
func (in *inbox) message(i int) []byte {
	return in.buffers[i*readBytes:][:min(int(in.headers[i].len), readBytes)]
}
