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

	trains [ring.TrainsMax]train // at ring.TrainOf
	batch  uint64                // ends when everything has been sent: trains of others have left
	single bool                  // the kernel cannot cut messages
}

// target is where the datagram, or the train, of a slot goes.
type target struct {
	handle ring.Handle
	fd     int32
	train  bool
}

// train is a run of datagrams as ring's: one message, which the kernel cuts.
type train struct {
	batch   uint64
	handle  ring.Handle
	slot    int
	segment int
	named   bool
	to      ring.Path
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
		headers: unsafe.Slice((*sys.Mmsghdr)(first), n), targets: make([]target, n), reserved: noSlot, batch: 1,
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
// connected socket. Datagrams of equal length to one peer that are queued in one turn may leave as one train, before others that were queued before them.
// With a local address in the path, and a socket with pktinfo, it leaves from that address. Without a Reserve before, or on a stale handle, nothing is sent.
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
	e.counts.DatagramsSent++
	takes := ring.TrainTakes(n, to)
	if takes && e.couple(h, s, i, n, to) {
		return
	}
	t.used++
	e.counts.MessagesSent++
	t.targets[i] = target{handle: h, fd: s.fd}
	t.vectors[i].Len = uint64(n)
	header := &t.headers[i].Header
	header.Name, header.NameLen, header.Control, header.ControlLen = 0, 0, 0, 0
	if to != nil {
		header.Name, header.NameLen = sys.Address(t.slot(i)), uint32(to.NameLen)
		*(*[nameBytes]byte)(t.slot(i)) = to.Name
		t.control(i, s.from(t.controlRoom(i), to))
	}
	if takes {
		t.lead(h, i, n, to)
	}
}

// controlRoom is where the control messages of a slot are.
func (t *transmit) controlRoom(i int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(t.slot(i), nameRoom)), sys.ControlBytesMax)
}

// control says that a slot has so many bytes of control messages.
func (t *transmit) control(i, bytes int) {
	if bytes != 0 {
		t.headers[i].Header.Control, t.headers[i].Header.ControlLen = sys.Address(unsafe.Add(t.slot(i), nameRoom)), uint64(bytes)
	}
}

// from writes the control message with the local address that a datagram is to leave from, and returns its bytes; 0: the kernel chooses.
func (s *socket) from(room []byte, to *ring.Path) int {
	if !s.pktinfo || !to.HasLocal {
		return 0
	}
	family := sys.FamilyInet
	if s.inet6 {
		family = sys.FamilyInet6
	}
	return sys.PutLocalAddress(room, family, &to.Local, to.Ifindex)
}

// couple appends the datagram of n bytes in slot i to a train on h and reports whether there was one with room.
func (e *Engine) couple(h ring.Handle, s *socket, i, n int, to *ring.Path) bool {
	t := &e.send
	c := &t.trains[ring.TrainOf(h, n, to, ring.TrainsMax)]
	if c.batch != t.batch || c.handle != h || c.segment != n || c.named != (to != nil) || t.single || c.named && c.to != *to {
		return false
	}
	bytes := int(t.vectors[c.slot].Len)
	if !ring.TrainHasRoom(bytes, n) {
		return false
	}
	copy(unsafe.Slice((*byte)(unsafe.Add(t.slot(c.slot), payloadAt+bytes)), n), unsafe.Slice((*byte)(unsafe.Add(t.slot(i), payloadAt)), n))
	if bytes == n { // the second one
		control := int(t.headers[c.slot].Header.ControlLen)
		t.control(c.slot, control+sys.PutSegment(t.controlRoom(c.slot)[control:], uint16(n)))
		t.targets[c.slot].train = true
	}
	t.vectors[c.slot].Len = uint64(bytes + n)
	return true
}

// lead makes the datagram of n bytes in slot i the first of a train.
func (t *transmit) lead(h ring.Handle, i, n int, to *ring.Path) {
	c := &t.trains[ring.TrainOf(h, n, to, ring.TrainsMax)]
	c.batch, c.handle, c.slot, c.segment = t.batch, h, i, n
	if c.named = to != nil; c.named {
		c.to = *to
	}
}

// flush sends all queued datagrams, each run for one socket with one system call.
func (e *Engine) flush() {
	t := &e.send
	for i := 0; i < t.used; {
		end := i + 1
		for end < t.used && t.targets[end].handle == t.targets[i].handle {
			end++
		}
		e.sendRun(i, end)
		i = end
	}
	t.used = 0
	t.batch++
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
			if t.targets[i].train && ring.NoTrains(errno) {
				t.single = true
				continue
			}
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
