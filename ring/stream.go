package ring

import (
	"syscall"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// accepted makes a stream of one completion of a multishot accept.
func (r *Ring) accepted(h Handle, s *socket, result int32) {
	if result < 0 {
		r.acceptFailed(h, s, syscall.Errno(-result))
		return
	}
	fd := int(result)
	if s.closing {
		_ = sys.CloseFD(fd)
		return
	}
	s.errors = 0
	path := &r.paths[len(r.events)]
	*path = Path{}
	length, errno := sys.PeerName(fd, &path.Name)
	if errno != 0 { // reset before we came to it
		r.counts.AcceptsRefused++
		_ = sys.CloseFD(fd)
		return
	}
	path.NameLen = length
	stream, err := r.add(socket{fd: int32(fd), tag: s.tag, role: roleStream}, false)
	if err != nil { // table full; add has closed it
		r.counts.AcceptsRefused++
		r.report(Event{Kind: AcceptFailed, Handle: h, Tag: s.tag, Errno: syscall.ENOBUFS})
		return
	}
	r.counts.Accepts++
	r.report(Event{Kind: Accepted, Handle: stream, Tag: s.tag, Path: path})
}

func (r *Ring) acceptFailed(h Handle, s *socket, errno syscall.Errno) {
	if s.closing || again(errno) {
		return
	}
	if Shortage(errno) {
		r.rest(h, s)
	} else if errno != syscall.ECONNABORTED {
		s.errors++
		if s.errors >= ErrorsInRowMax {
			s.errors = 0
			r.rest(h, s)
		}
	}
	r.report(Event{Kind: AcceptFailed, Handle: h, Tag: s.tag, Errno: errno})
}

// read makes an event of the completion of a stream's read.
func (r *Ring) read(h Handle, s *socket, result int32, flags uint32) {
	if s.closing || result <= 0 {
		r.returnBuffer(r.streams, flags)
	}
	errno := syscall.Errno(0)
	if result < 0 {
		errno = syscall.Errno(-result)
	}
	switch {
	case s.closing:
	case errno == syscall.ENOBUFS:
		r.counts.BuffersExhausted++
		r.push(h, s, todoArm)
	case again(errno):
		r.push(h, s, todoArm)
	case result <= 0:
		s.ended = true
		r.report(Event{Kind: StreamEnd, Handle: h, Tag: s.tag, Errno: errno})
	default:
		id := uint16(flags >> sys.CQEBufferShift)
		p := r.streams.Taken(id)
		r.heldStreams = append(r.heldStreams, id)
		r.counts.StreamReads++
		r.report(Event{Kind: StreamData, Handle: h, Tag: s.tag, Data: unsafe.Slice((*byte)(p), int(result))})
	}
}

// wrote deals with the completion of a stream's send. A short one means that something went wrong after some bytes: the
// rest is submitted and will say what.
func (r *Ring) wrote(h Handle, s *socket, result int32) {
	if s.closing {
		return
	}
	errno := syscall.Errno(0)
	switch {
	case result < 0:
		errno = syscall.Errno(-result)
		if again(errno) {
			r.push(h, s, todoWrite)
			return
		}
	case uint32(result) < s.writeBytes && result > 0:
		s.writeAddress += uint64(result)
		s.writeBytes -= uint32(result)
		r.push(h, s, todoWrite)
		return
	case uint32(result) != s.writeBytes:
		r.counts.Unexpected++
		errno = syscall.EIO
	}
	r.counts.StreamSends++
	r.report(Event{Kind: StreamSent, Handle: h, Tag: s.tag, Errno: errno})
}
