package ring

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// train is a run of datagrams of one length to one peer that leaves as one message: the kernel, or the network card, cuts it into
// datagrams (UDP_SEGMENT, udp(7)), and goes through its stack once. The first datagram is queued as any other; the ones that fit are
// appended to it until everything is submitted.
type train struct {
	batch   uint64 // transmit.batch that it belongs to; another one: it has left
	handle  Handle
	entry   *sys.SQE
	slot    int
	segment int // bytes of each datagram
	bytes   int // of all
}

// couple appends the datagram of n bytes in slot i to a train on h and reports whether there was one with room.
func (r *Ring) couple(h Handle, s *socket, i, n int) bool {
	t := &r.send
	c := &t.trains[n%trainsMax]
	if c.batch != t.batch || c.handle != h || c.segment != n || n == 0 || n > segmentBytesMax || t.single ||
		c.bytes+n > min(DatagramBytesMax, n*segmentsMax) {
		return false
	}
	header := t.header(c.slot)
	copy(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(header), sendHeaderBytes+c.bytes)), n),
		unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(t.header(i)), sendHeaderBytes)), n))
	if c.bytes == n { // the second one
		header.message.NameLen = 0
		header.message.ControlLen = uint64(sys.PutSegment(header.control[:], uint16(n)))
		c.entry.PrepOperation(sys.OpSendmsg, s.fd, sys.Address(unsafe.Pointer(&header.message)), 1, 0)
		r.seal(c.entry, h, s, opTrain)
	}
	c.bytes += n
	header.vector.Len = uint64(c.bytes)
	return true
}

// derailed deals with a train that the kernel did not take. Where it cannot cut at all (EIO: a path without checksums, or IPsec, before
// Linux 6.12) no further train is made. Its datagrams are gone then, once: whoever sent them has a timer for lost ones.
func (r *Ring) derailed(h Handle, s *socket, errno syscall.Errno) {
	r.counts.SendFailures++
	if errno == syscall.EIO || errno == syscall.EINVAL || errno == syscall.EOPNOTSUPP {
		r.send.single = true
		return
	}
	if !s.closing {
		r.report(Event{Kind: SendFailed, Handle: h, Tag: s.tag, Errno: errno})
	}
}
