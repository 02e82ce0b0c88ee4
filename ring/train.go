package ring

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// train is a run of datagrams of one length to one peer that leaves as one message: the kernel, or the network card, cuts it into
// datagrams (UDP_SEGMENT, udp(7)), and goes through its stack once. The first datagram is queued as any other; the ones that fit are
// appended to it until everything is submitted. The peer is the socket's, if it is connected, or a client that asks several things at a time from one
// port: a forwarder, a load balancer, another proxy.
type train struct {
	batch   uint64 // transmit.batch that it belongs to; another one: it has left
	handle  Handle
	entry   *sys.SQE
	slot    int
	segment int  // bytes of each datagram
	bytes   int  // of all
	named   bool // to says where it goes; else the socket is connected
	to      Path
}

// TrainOf returns the place in a table of n trains for datagrams of so many bytes from h to a peer, nil for that of a connected socket. n is a power
// of two. Two that share a place end each other's trains.
func TrainOf(h Handle, bytes int, to *Path, n int) int {
	place := bytes + socketStep*int(uint32(h))
	if to == nil {
		return place & (n - 1)
	}
	const port, address4, address6 = 3, 7, 23 // the last byte of each
	return (place + 5*int(to.Name[port]) + 3*int(to.Name[port-1]) + int(to.Name[address4]) + int(to.Name[address6])) & (n - 1)
}

// TrainTakes reports whether datagrams of so many bytes to a peer may share a message at all. The kernel refuses port 0, and what shares a message with it.
func TrainTakes(bytes int, to *Path) bool {
	return bytes != 0 && bytes <= segmentBytesMax && (to == nil || to.Name[2]|to.Name[3] != 0)
}

// TrainHasRoom reports whether one of so many bytes has room in a train that holds some already.
func TrainHasRoom(held, bytes int) bool {
	return held+bytes <= min(DatagramBytesMax, bytes*segmentsMax)
}

// couple appends the datagram of n bytes in slot i to a train on h and reports whether there was one with room.
func (r *Ring) couple(h Handle, s *socket, i, n int, to *Path) bool {
	t := &r.send
	c := &t.trains[TrainOf(h, n, to, TrainsMax)]
	if c.batch != t.batch || c.handle != h || c.segment != n || c.named != (to != nil) || t.single || !TrainHasRoom(c.bytes, n) ||
		c.named && c.to != *to {
		return false
	}
	header := t.header(c.slot)
	copy(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(header), sendHeaderBytes+c.bytes)), n),
		unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(t.header(i)), sendHeaderBytes)), n))
	if c.bytes == n { // the second one
		header.message.NameLen = 0
		control := 0
		if to != nil {
			header.message.NameLen = uint32(to.NameLen)
			control = s.from(header, to)
		}
		header.message.ControlLen = uint64(control + sys.PutSegment(header.control[control:], uint16(n)))
		c.entry.PrepOperation(sys.OpSendmsg, s.fd, sys.Address(unsafe.Pointer(&header.message)), 1, 0)
		c.entry.SetSpliceFdIn(0) // there is no addr_len any more
		r.seal(c.entry, h, s, opTrain)
	}
	c.bytes += n
	header.vector.Len = uint64(c.bytes)
	return true
}

// lead makes the datagram of n bytes in slot i, queued as e, the first of a train.
func (t *transmit) lead(h Handle, e *sys.SQE, i, n int, to *Path) {
	c := &t.trains[TrainOf(h, n, to, TrainsMax)]
	c.batch, c.handle, c.entry, c.slot, c.segment, c.bytes = t.batch, h, e, i, n, n
	if c.named = to != nil; c.named {
		c.to = *to
	}
}

// derailed deals with a train that the kernel did not take. Where it cannot cut at all (EIO: a path without checksums, or IPsec, before
// Linux 6.12) no further train is made. Its datagrams are gone then, once: whoever sent them, or asked for them, has a timer for lost ones.
func (r *Ring) derailed(h Handle, s *socket, errno syscall.Errno) {
	r.counts.SendFailures++
	if NoTrains(errno) {
		r.send.single = true
		return
	}
	if !s.closing {
		r.report(Event{Kind: SendFailed, Handle: h, Tag: s.tag, Errno: errno})
	}
}

// NoTrains reports whether a refused train means that the kernel refuses all. EINVAL does not: a client's address or ours may be what is wrong.
func NoTrains(errno syscall.Errno) bool { return errno == syscall.EIO || errno == syscall.EOPNOTSUPP }
