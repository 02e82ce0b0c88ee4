package mmsg

import (
	"syscall"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// acceptMax connections are taken from one listener at a time; the level-triggered watch brings it up again for more.
const acceptMax = 32

const streamStride = ring.StreamBytesMax + cacheLine

// streamBuffers are what StreamData events point into: a turn hands them out in order.
type streamBuffers struct {
	memory []byte
	n      int
	used   int
}

// next returns the next buffer without taking it, or nil.
func (b *streamBuffers) next() []byte {
	if b.used == b.n {
		return nil
	}
	return b.memory[b.used*streamStride:][:ring.StreamBytesMax]
}

// accept takes waiting connections from a listener. One that found no room is queued for the next turn.
func (e *Engine) accept(h ring.Handle, s *socket) {
	if e.room() == 0 {
		e.push(h, s)
		return
	}
	for range min(acceptMax, e.room()) {
		path := &e.paths[len(e.events)]
		*path = ring.Path{}
		e.counts.Enters++
		fd, nameLen, errno := sys.Accept(int(s.fd), &path.Name)
		if errno == syscall.EAGAIN {
			return
		}
		if errno != 0 {
			e.acceptFailed(h, s, errno)
			return
		}
		s.errors = 0
		if nameLen == 0 { // reset before we came to it
			e.counts.AcceptsRefused++
			_ = sys.CloseFD(fd)
			continue
		}
		path.NameLen = nameLen
		stream, err := e.adopt(socket{fd: int32(fd), tag: s.tag, role: roleStream, readable: true, writable: true}, streamBits)
		if err != nil { // table full, or no memory for the watch; adopt has closed it
			e.counts.AcceptsRefused++
			e.report(ring.Event{Kind: ring.AcceptFailed, Handle: h, Tag: s.tag, Errno: syscall.ENOBUFS})
			continue
		}
		e.counts.Accepts++
		e.report(ring.Event{Kind: ring.Accepted, Handle: stream, Tag: s.tag, Path: path})
	}
}

func (e *Engine) acceptFailed(h ring.Handle, s *socket, errno syscall.Errno) {
	if errno == syscall.EINTR {
		return
	}
	if ring.Shortage(errno) {
		e.rest(h, s)
	} else if errno != syscall.ECONNABORTED {
		s.errors++
		if s.errors >= ring.ErrorsInRowMax {
			s.errors = 0
			e.rest(h, s)
		}
	}
	e.report(ring.Event{Kind: ring.AcceptFailed, Handle: h, Tag: s.tag, Errno: errno})
}

// serveStream reads and writes as far as the stream is wanted and believed ready, one event each; for want of room it is
// queued for the next turn.
func (e *Engine) serveStream(h ring.Handle, s *socket) {
	if s.closing {
		if e.room() == 0 {
			e.push(h, s)
			return
		}
		e.report(ring.Event{Kind: ring.StreamClosed, Handle: h, Tag: s.tag})
		e.sockets.Release(uint32(h))
		return
	}
	if s.writing && s.writable {
		if e.room() == 0 {
			e.push(h, s)
			return
		}
		e.write(h, s)
	}
	if s.wantRead && s.readable {
		buffer := e.streams.next()
		if e.room() == 0 || buffer == nil {
			e.push(h, s)
			return
		}
		e.read(h, s, buffer)
	}
}

func (e *Engine) read(h ring.Handle, s *socket, buffer []byte) {
	e.counts.Enters++
	n, errno := sys.Recv(int(s.fd), buffer)
	switch {
	case errno == syscall.EINTR:
		e.push(h, s)
	case errno == syscall.EAGAIN:
		s.readable = false // the next edge says when
	case errno != 0 || n == 0:
		s.wantRead, s.ended = false, true
		e.report(ring.Event{Kind: ring.StreamEnd, Handle: h, Tag: s.tag, Errno: errno})
	default:
		s.wantRead = false
		// A short read has emptied the queue, and an end that came before was reported with its own edge.
		s.readable = n == len(buffer) || s.hungUp
		e.streams.used++
		e.counts.StreamReads++
		e.report(ring.Event{Kind: ring.StreamData, Handle: h, Tag: s.tag, Data: buffer[:n]})
	}
}

// write hands the kernel what it takes of the outstanding send.
func (e *Engine) write(h ring.Handle, s *socket) {
	var errno syscall.Errno
	for s.writeBytes > 0 {
		var n int
		e.counts.Enters++
		n, errno = sys.Send(int(s.fd), s.writeAddress, s.writeBytes)
		if errno == syscall.EINTR {
			continue
		}
		if errno == syscall.EAGAIN {
			s.writable = false // the next edge says when
			return
		}
		if errno != 0 {
			break
		}
		s.writeAddress += uint64(n)
		s.writeBytes -= uint32(n)
	}
	s.writing = false
	e.counts.StreamSends++
	e.report(ring.Event{Kind: ring.StreamSent, Handle: h, Tag: s.tag, Errno: errno})
}
