package udp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/query"
)

// outbox gathers queries for one flow. Those of equal length share a message, which the kernel takes through its stack once
// and cuts into datagrams at the end (UDP_SEGMENT, Linux 4.18): on loopback the server sees ordinary datagrams, and the
// sender pays half.
type outbox struct {
	memory   []byte
	headers  []mmsghdr
	vectors  []iovec   // a row of rowLen for each message
	controls []control // one for each message
	messages int
	packets  int
	segment  bool                             // share messages
	byLength [query.PacketBytesMax + 1]uint16 // the message for queries of a length, plus 1
}

// control is the control message that says where to cut.
type control struct {
	header unix.Cmsghdr
	bytes  uint16 // of each datagram
	_      [6]byte
}

const (
	controlLen = unsafe.Offsetof(control{}.bytes) + 2
	// rowLen is odd, so that consecutive rows share no set of the L1 cache. 64 segments is what every kernel with
	// UDP_SEGMENT takes, 64 of the longest query are within 64 KiB.
	rowLen = batchMax + 1
)

var (
	_      = uint(1<<16 - 1 - 28 - batchMax*query.PacketBytesMax)
	_ bool = unsafe.Sizeof(control{}) == 24
)

func newOutbox(segment bool) (*outbox, error) {
	memory, err := mapped(batchMax * int(unsafe.Sizeof(mmsghdr{})+unsafe.Sizeof(control{})+rowLen*unsafe.Sizeof(iovec{})))
	if err != nil {
		return nil, err
	}
	rest := memory
	out := &outbox{memory: memory, segment: segment, headers: cut[mmsghdr](&rest, batchMax), controls: cut[control](&rest, batchMax)}
	out.vectors = cut[iovec](&rest, batchMax*rowLen)
	for i := range out.headers {
		out.controls[i].header = unix.Cmsghdr{Len: uint64(controlLen), Level: unix.SOL_UDP, Type: unix.UDP_SEGMENT}
		out.headers[i].header = msghdr{iov: address(out.vectors[i*rowLen:]), control: address(out.controls[i:])}
	}
	return out, nil
}

// put adds a query, which stays as it is until it is sent. At most batchMax between two clears.
func (out *outbox) put(packet []byte) {
	i := -1
	if out.segment {
		i = int(out.byLength[len(packet)]) - 1
	}
	if i < 0 {
		i = out.messages
		out.messages++
		out.byLength[len(packet)] = uint16(i + 1)
		out.headers[i].header.iovLen, out.headers[i].header.controlLen = 0, 0
	}
	h := &out.headers[i].header
	out.vectors[i*rowLen+int(h.iovLen)] = iovec{base: address(packet), len: uint64(len(packet))}
	if h.iovLen++; h.iovLen == 2 {
		h.controlLen = uint64(unsafe.Sizeof(control{}))
		out.controls[i].bytes = uint16(len(packet))
	}
	out.packets++
}

// send offers the messages from the given one on and returns how many were taken. For one datagram there is a cheaper call.
func (out *outbox) send(fd int32, from int) (int, syscall.Errno) {
	if out.packets == 1 {
		v := out.vectors[from*rowLen]
		if _, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(v.base), uintptr(v.len), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0); errno != 0 {
			return 0, errno
		}
		return 1, 0
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&out.headers[from])), uintptr(out.messages-from), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// clear empties the outbox.
func (out *outbox) clear() {
	for i := range out.messages {
		out.byLength[out.vectors[i*rowLen].len] = 0
	}
	out.messages, out.packets = 0, 0
}

// separate gives every query from the given message on a message of its own, for a route whose device cannot cut, and makes
// it so from now on. The messages before are forgotten.
func (out *outbox) separate(from int) {
	var packets [batchMax]iovec
	n := 0
	for i := from; i < out.messages; i++ {
		n += copy(packets[n:], out.vectors[i*rowLen:][:out.headers[i].header.iovLen])
	}
	out.clear()
	out.segment = false
	for i := range n {
		out.vectors[i*rowLen] = packets[i]
		out.headers[i].header.iovLen, out.headers[i].header.controlLen = 1, 0
	}
	out.messages, out.packets = n, n
}
