package mmsg

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Receive slots: name and control messages, then the payload on a line of its own. Strides are odd numbers of cache lines,
// so that equal offsets in consecutive slots fall into different sets of the L1 cache.
const (
	cacheLine     = 64
	nameBytes     = 28
	nameRoom      = 32
	payloadAt     = 128
	receiveStride = payloadAt + ring.DatagramBytesMax + cacheLine

	// batchMax datagrams are read by one system call; more gain nothing.
	batchMax = 64
	// hotMin datagrams in one read make a socket hot: the next read will not come back empty, so it needs no epoll.
	hotMin = 8
)

var _ = uint(payloadAt - nameRoom - sys.ControlBytesMax)

// receive is the arena of received datagrams: headers in a row as recvmmsg wants them, slots behind. A header is set up once;
// after each use only what the kernel has changed is put back.
type receive struct {
	headers []sys.Mmsghdr
	slots   unsafe.Pointer
	used    int
}

func receiveBytes(n int) int {
	return n * (int(unsafe.Sizeof(sys.Mmsghdr{})+unsafe.Sizeof(sys.Iovec{})) + receiveStride)
}

func (r *receive) init(memory []byte, n int) {
	first := unsafe.Pointer(unsafe.SliceData(memory))
	r.headers = unsafe.Slice((*sys.Mmsghdr)(first), n)
	vectors := unsafe.Slice((*sys.Iovec)(unsafe.Add(first, n*int(unsafe.Sizeof(sys.Mmsghdr{})))), n)
	r.slots = unsafe.Add(first, n*int(unsafe.Sizeof(sys.Mmsghdr{})+unsafe.Sizeof(sys.Iovec{})))
	for i := range n {
		slot := r.slot(i)
		vectors[i] = sys.Iovec{Base: sys.Address(unsafe.Add(slot, payloadAt)), Len: ring.DatagramBytesMax}
		r.headers[i].Header = sys.Msghdr{
			Name: sys.Address(slot), NameLen: nameBytes, Iov: sys.Address(unsafe.Pointer(&vectors[i])), IovLen: 1,
			Control: sys.Address(unsafe.Add(slot, nameRoom)), ControlLen: sys.ControlBytesMax,
		}
	}
}

func (r *receive) slot(i int) unsafe.Pointer { return unsafe.Add(r.slots, i*receiveStride) }

// readDatagrams reads one batch. A socket that gave many is queued for the next turn, one that found no room as well.
func (e *Engine) readDatagrams(h ring.Handle, s *socket) {
	room := min(batchMax, e.room(), len(e.receive.headers)-e.receive.used)
	if room <= 0 {
		e.push(h, s)
		return
	}
	e.counts.Enters++
	n, errno := sys.RecvMany(int(s.fd), &e.receive.headers[e.receive.used], room)
	if errno != 0 {
		e.receiveFailed(h, s, errno)
		return
	}
	s.errors = 0
	for range n {
		e.received(h, s)
	}
	if n == room || n >= hotMin {
		e.push(h, s)
	}
}

// received makes an event of the datagram in the next receive slot.
func (e *Engine) received(h ring.Handle, s *socket) {
	i := e.receive.used
	e.receive.used++
	header := &e.receive.headers[i]
	slot := e.receive.slot(i)
	n := int(header.Len)
	e.counts.Datagrams++
	if n == 0 {
		e.counts.Empty++
	}
	truncated := header.Header.Flags&sys.MessageTruncated != 0
	if truncated {
		e.counts.Truncated++
	}
	path := &e.paths[len(e.events)]
	path.Name = *(*[nameBytes]byte)(slot)
	path.NameLen = uint8(min(header.Header.NameLen, nameBytes))
	path.HasLocal, path.Ifindex = false, 0
	if s.pktinfo {
		control := unsafe.Slice((*byte)(unsafe.Add(slot, nameRoom)), sys.ControlBytesMax)
		path.Ifindex, path.HasLocal = sys.LocalAddress(control[:min(header.Header.ControlLen, sys.ControlBytesMax)], &path.Local)
	}
	header.Header.NameLen, header.Header.ControlLen, header.Header.Flags = nameBytes, sys.ControlBytesMax, 0
	e.report(ring.Event{
		Kind: ring.Datagram, Truncated: truncated, Handle: h, Tag: s.tag, Path: path,
		Data: unsafe.Slice((*byte)(unsafe.Add(slot, payloadAt)), n),
	})
}

func (e *Engine) receiveFailed(h ring.Handle, s *socket, errno syscall.Errno) {
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	if !ring.PeerCaused(errno) {
		s.errors++
		if s.errors >= ring.ErrorsInRowMax {
			s.errors = 0
			e.rest(h, s)
		}
	}
	e.report(ring.Event{Kind: ring.DatagramError, Handle: h, Tag: s.tag, Errno: errno})
}
