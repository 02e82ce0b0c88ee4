package mmsg

import (
	"fmt"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

type role uint8

const (
	roleWaker role = iota
	roleTimer
	roleAlarm
	roleDatagram
	roleListener
	roleStream
)

// own reports whether it is a descriptor of the engine itself.
func (r role) own() bool { return r < roleDatagram }

// socket is the state of one descriptor. No pointers: the table is never scanned.
type socket struct {
	fd      int32
	tag     uint32
	role    role
	queued  bool // in Engine.todo
	closing bool // closed; a stream still owes StreamClosed
	pktinfo bool
	inet6   bool
	errors  uint8 // in a row

	readable bool // stream: as far as we know
	writable bool
	hungUp   bool // stream: the peer has finished or reset; reading will say which
	wantRead bool
	ended    bool // StreamEnd was delivered
	writing  bool

	writeAddress uint64 // rest of the buffer given to Send
	writeBytes   uint32
}

const streamBits = sys.EpollIn | sys.EpollOut | sys.EpollHangUp | sys.EpollEdge

// AddDatagram takes ownership of fd, also when it fails, and starts receiving. pktinfo says that the socket has IP_PKTINFO
// or IPV6_RECVPKTINFO set. Errors: socket table full, or fd is not a socket that can be watched.
func (e *Engine) AddDatagram(fd int, tag uint32, pktinfo bool) (ring.Handle, error) {
	family, err := sys.Family(fd)
	if err != nil {
		_ = sys.CloseFD(fd)
		return 0, fmt.Errorf("add datagram socket: %w", err)
	}
	if !sys.CutsMessages(fd) {
		e.send.single = true
	}
	s := socket{fd: int32(fd), tag: tag, role: roleDatagram, pktinfo: pktinfo, inet6: family == sys.FamilyInet6}
	return e.adopt(s, sys.EpollIn)
}

// AddListener takes ownership of fd, a listening stream socket, also when it fails, and starts accepting.
func (e *Engine) AddListener(fd int, tag uint32) (ring.Handle, error) {
	return e.adopt(socket{fd: int32(fd), tag: tag, role: roleListener}, sys.EpollIn)
}

// SetTag changes the tag that later events of h carry.
func (e *Engine) SetTag(h ring.Handle, tag uint32) {
	if s := e.live(h); s != nil {
		s.tag = tag
	}
}

// Recv arms one read on a stream. It is answered by one StreamData or StreamEnd. Already armed, or after StreamEnd: no effect.
func (e *Engine) Recv(h ring.Handle) {
	s := e.live(h)
	if s == nil || s.role != roleStream || s.ended {
		return
	}
	s.wantRead = true
	e.push(h, s)
}

// Send writes all of buf to a stream; StreamSent says when buf is free. At most one may be outstanding per stream. buf is
// memory from sys.Map and must stay untouched until StreamSent or StreamClosed.
func (e *Engine) Send(h ring.Handle, buf []byte) {
	s := e.live(h)
	if s == nil || s.role != roleStream {
		return
	}
	if s.writing {
		panic("mmsg: Send on a stream with a send outstanding")
	}
	s.writing = true
	s.writeAddress, s.writeBytes = sys.Address(unsafe.Pointer(unsafe.SliceData(buf))), uint32(len(buf))
	e.push(h, s)
}

// Close ends a socket of any kind. A stream still delivers StreamClosed, and nothing else; writes not yet confirmed by
// StreamSent may be lost. Datagram sockets and listeners deliver nothing after the current slice.
func (e *Engine) Close(h ring.Handle) {
	s := e.live(h)
	if s == nil || s.role.own() {
		return
	}
	if s.role == roleDatagram {
		e.flush() // datagrams committed before
	}
	_ = sys.CloseFD(int(s.fd)) // the descriptor is gone even when close reports an error of earlier writes
	s.closing = true
	if s.role == roleStream {
		e.push(h, s)
		return
	}
	e.sockets.Release(uint32(h))
}

// live returns the socket of a handle that is neither stale nor closing.
func (e *Engine) live(h ring.Handle) *socket {
	s := e.sockets.Get(uint32(h))
	if s == nil || s.closing {
		return nil
	}
	return s
}

// adopt is add for descriptors from outside: closed on error.
func (e *Engine) adopt(fresh socket, bits uint32) (ring.Handle, error) {
	h, err := e.add(fresh, bits)
	if err != nil {
		_ = sys.CloseFD(int(fresh.fd))
	}
	return h, err
}

// add registers a socket and watches it.
func (e *Engine) add(fresh socket, bits uint32) (ring.Handle, error) {
	handle, s, ok := e.sockets.Open()
	if !ok {
		return 0, errTableFull
	}
	*s = fresh
	if err := e.poll.Add(int(s.fd), bits, int32(handle)); err != nil {
		e.sockets.Release(handle)
		return 0, fmt.Errorf("add socket: %w", err)
	}
	return ring.Handle(handle), nil
}

// push queues a socket for the next turn.
func (e *Engine) push(h ring.Handle, s *socket) {
	if !s.queued {
		s.queued = true
		e.todo = append(e.todo, h)
	}
}
