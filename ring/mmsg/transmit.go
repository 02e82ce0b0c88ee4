package mmsg

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// A send slot: name, control messages, then the payload; the stride as for receive slots.
const sendStride = receiveStride

const noSlot = -1

// transmit is the arena of datagrams to send: headers in a row as sendmmsg wants them, slots behind.
type transmit struct {
	headers  []sys.Mmsghdr
	vectors  []sys.Iovec
	targets  []target
	slots    unsafe.Pointer
	used     int
	reserved int // slot handed out by Reserve, or noSlot
}

// target is where the datagram of a slot goes.
type target struct {
	handle ring.Handle
	fd     int32
}

// failure is a datagram that could not be sent and whose event is still to come.
type failure struct {
	handle ring.Handle
	errno  syscall.Errno
}

func transmitBytes(n int) int {
	return n * (int(unsafe.Sizeof(sys.Mmsghdr{})+unsafe.Sizeof(sys.Iovec{})) + sendStride)
}

func (t *transmit) init(memory []byte, n int) {
	first := unsafe.Pointer(unsafe.SliceData(memory))
	*t = transmit{
		headers: unsafe.Slice((*sys.Mmsghdr)(first), n), targets: make([]target, n), reserved: noSlot,
		slots: unsafe.Add(first, n*int(unsafe.Sizeof(sys.Mmsghdr{})+unsafe.Sizeof(sys.Iovec{}))),
	}
	t.vectors = unsafe.Slice((*sys.Iovec)(unsafe.Add(first, n*int(unsafe.Sizeof(sys.Mmsghdr{})))), n)
	for i := range n {
		t.vectors[i].Base = sys.Address(unsafe.Add(t.slot(i), payloadAt))
		t.headers[i].Header = sys.Msghdr{Iov: sys.Address(unsafe.Pointer(&t.vectors[i])), IovLen: 1}
	}
}

func (t *transmit) slot(i int) unsafe.Pointer { return unsafe.Add(t.slots, i*sendStride) }

// Reserve returns the payload area of the next datagram to send, ring.DatagramBytesMax bytes of undefined content. It is the
// caller's until Commit, the next Reserve or the next Turn. When all slots are used the queue is sent first.
func (e *Engine) Reserve() []byte {
	t := &e.send
	if t.used == len(t.headers) {
		e.flush()
	}
	t.reserved = t.used
	return unsafe.Slice((*byte)(unsafe.Add(t.slot(t.reserved), payloadAt)), ring.DatagramBytesMax)
}

// Commit queues the first n bytes of the last Reserve as one datagram on h, to the given path, which is copied; nil on a
// connected socket. With a local address in the path, and a socket with pktinfo, it leaves from that address. Without
// a Reserve before, or on a stale handle, nothing is sent.
func (e *Engine) Commit(h ring.Handle, n int, to *ring.Path) {
	t := &e.send
	i := t.reserved
	t.reserved = noSlot
	s := e.live(h)
	if i == noSlot || s == nil || s.role != roleDatagram {
		return
	}
	if uint(n) > ring.DatagramBytesMax {
		panic("mmsg: Commit of more bytes than Reserve gave")
	}
	t.used++
	e.counts.DatagramsSent++
	t.targets[i] = target{handle: h, fd: s.fd}
	slot := t.slot(i)
	header := &t.headers[i].Header
	t.vectors[i].Len = uint64(n)
	header.Name, header.NameLen, header.Control, header.ControlLen = 0, 0, 0, 0
	if to == nil {
		return
	}
	header.Name, header.NameLen = sys.Address(slot), uint32(to.NameLen)
	*(*[nameBytes]byte)(slot) = to.Name
	if s.pktinfo && to.HasLocal {
		family := sys.FamilyInet
		if s.inet6 {
			family = sys.FamilyInet6
		}
		control := unsafe.Add(slot, nameRoom)
		room := unsafe.Slice((*byte)(control), sys.ControlBytesMax)
		if bytes := sys.PutLocalAddress(room, family, &to.Local, to.Ifindex); bytes != 0 {
			header.Control, header.ControlLen = sys.Address(control), uint64(bytes)
		}
	}
}

// flush sends all queued datagrams, each run for one socket with one system call.
func (e *Engine) flush() {
	t := &e.send
	for i := 0; i < t.used; {
		end := i + 1
		for end < t.used && t.targets[end] == t.targets[i] {
			end++
		}
		e.sendRun(i, end)
		i = end
	}
	t.used = 0
}

// sendRun sends the slots i to end, all of one socket. A datagram that fails is reported and the rest goes on, unless the
// send queue is full: then the rest would only fail one by one.
func (e *Engine) sendRun(i, end int) {
	t := &e.send
	for i < end {
		e.counts.Enters++
		n, errno := sys.SendMany(int(t.targets[i].fd), &t.headers[i], end-i)
		if errno == 0 {
			i += n
			continue
		}
		if errno == syscall.EINTR {
			continue
		}
		failed := i + 1
		if errno == syscall.EAGAIN {
			failed = end
		}
		for ; i < failed; i++ {
			e.counts.SendFailures++
			if len(e.failures) < cap(e.failures) { // beyond that only counted
				e.failures = append(e.failures, failure{t.targets[i].handle, errno})
			}
		}
	}
}

// reportFailures turns failures into events, as far as there is room.
func (e *Engine) reportFailures() {
	n := min(len(e.failures), e.room())
	for _, f := range e.failures[:n] {
		if s := e.live(f.handle); s != nil {
			e.report(ring.Event{Kind: ring.SendFailed, Handle: f.handle, Tag: s.tag, Errno: f.errno})
		}
	}
	e.failures = e.failures[:copy(e.failures, e.failures[n:])]
}
