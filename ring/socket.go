package ring

import (
	"fmt"
	"syscall"

	"secure-dns-proxy/ring/sys"
)

type role uint8

const (
	roleWaker role = iota
	roleDatagram
	roleListener
	roleStream
)

// Operations the kernel may hold for a socket; the socket is released only after the last completion of each.
const (
	pendingInput uint8 = 1 << iota // receive, accept, stream read or eventfd read: a socket has one at most
	pendingWrite                   // stream send
	pendingPause                   // timer until the input is armed again

	pendingKinds = 3
)

// What the next turn submits for a socket.
const (
	todoArm    uint8 = 1 << iota // the input operation
	todoWrite                    // the (rest of the) stream send
	todoPause                    // the timer
	todoCancel                   // cancellation of everything pending
)

// socket is the state of one descriptor. No pointers: the table is never scanned.
type socket struct {
	fd      int32
	file    int32 // slot among the fixed files, or noFile
	tag     uint32
	role    role
	pending uint8
	todo    uint8
	queued  bool // in Ring.todo
	closing bool
	ended   bool // stream: StreamEnd was delivered
	pktinfo bool
	inet6   bool

	errors  uint8               // in a row
	suspect uint8               // pending bits whose completion may have been lost
	misses  [pendingKinds]uint8 // of each pending operation: cancellations in a row that found nothing

	writeAddress uint64 // rest of the buffer given to Send
	writeBytes   uint32
}

const noFile = -1

// errTableFull is made once: a flood of connections must not allocate an error for each.
var errTableFull = fmt.Errorf("add socket: socket table full: %w", syscall.ENOBUFS)

// AddDatagram takes ownership of fd, also when it fails, and arms receiving. pktinfo says that the socket has IP_PKTINFO
// or IPV6_RECVPKTINFO set: datagrams then carry their local address, and replies leave from it. Errors: socket table full,
// or fd is not a socket.
func (r *Ring) AddDatagram(fd int, tag uint32, pktinfo bool) (Handle, error) {
	family, err := sys.Family(fd)
	if err != nil {
		_ = sys.CloseFD(fd)
		return 0, fmt.Errorf("add datagram socket: %w", err)
	}
	return r.add(socket{fd: int32(fd), tag: tag, role: roleDatagram, pktinfo: pktinfo, inet6: family == sys.FamilyInet6}, true)
}

// AddListener takes ownership of fd, a listening stream socket, also when it fails, and arms accepting. Error: socket table full.
func (r *Ring) AddListener(fd int, tag uint32) (Handle, error) {
	return r.add(socket{fd: int32(fd), tag: tag, role: roleListener}, true)
}

// SetTag changes the tag that later events of h carry.
func (r *Ring) SetTag(h Handle, tag uint32) {
	if s := r.live(h); s != nil {
		s.tag = tag
	}
}

// Recv arms one read on a stream. It is answered by one StreamData or StreamEnd. Already armed, or after StreamEnd: no effect.
func (r *Ring) Recv(h Handle) {
	s := r.live(h)
	if s == nil || s.role != roleStream || s.ended || s.pending&pendingInput != 0 {
		return
	}
	r.push(h, s, todoArm)
}

// Send writes all of buf to a stream; StreamSent says when buf is free. At most one may be outstanding per stream. buf is
// memory from sys.Map and must stay untouched until StreamSent or StreamClosed.
func (r *Ring) Send(h Handle, buf []byte) {
	s := r.live(h)
	if s == nil || s.role != roleStream {
		return
	}
	if s.pending&pendingWrite != 0 || s.todo&todoWrite != 0 {
		panic("ring: Send on a stream with a send outstanding")
	}
	s.writeAddress, s.writeBytes = addressOf(buf), uint32(len(buf))
	r.push(h, s, todoWrite)
}

// Close ends a socket of any kind. A stream still delivers StreamClosed, and nothing else; writes not yet confirmed by
// StreamSent may be lost. Datagram sockets and listeners deliver nothing after the current slice. The descriptor is closed
// once the kernel has completed every operation on it.
func (r *Ring) Close(h Handle) {
	s := r.live(h)
	if s == nil {
		return
	}
	s.closing = true
	s.todo = 0
	if s.role == roleStream && s.pending != 0 {
		sys.Shutdown(int(s.fd)) // completes read and write
	}
	r.push(h, s, todoCancel)
}

// live returns the socket of a handle that is neither stale nor closing.
func (r *Ring) live(h Handle) *socket {
	s := r.sockets.Get(uint32(h))
	if s == nil || s.closing {
		return nil
	}
	return s
}

// add registers a socket and arms its input if arm is set. It closes the descriptor on error.
func (r *Ring) add(fresh socket, arm bool) (Handle, error) {
	handle, s, ok := r.sockets.Open()
	if !ok {
		if fresh.role != roleWaker {
			_ = sys.CloseFD(int(fresh.fd))
		}
		return 0, errTableFull
	}
	*s = fresh
	s.file = noFile
	if (s.role == roleDatagram || s.role == roleListener) && len(r.files) > 0 {
		i := r.files[len(r.files)-1]
		// A saving only: a socket outside the table works through its descriptor.
		if r.u.SetFile(uint32(i), int(s.fd)) == nil {
			r.files = r.files[:len(r.files)-1]
			s.file = int32(i)
		}
	}
	if arm {
		r.push(Handle(handle), s, todoArm)
	}
	return Handle(handle), nil
}

// finish closes the descriptor of a closing socket that has nothing pending, and forgets it. The caller has made room for
// the event of a stream.
func (r *Ring) finish(h Handle, s *socket) {
	if s.role == roleDatagram && r.u.Queued() > 0 {
		r.flush() // datagrams committed before Close still name the descriptor
	}
	if s.file != noFile {
		_ = r.u.SetFile(uint32(s.file), -1) // the slot exists; emptying it cannot fail
		r.files = append(r.files, uint8(s.file))
	}
	if s.role == roleWaker {
		_ = r.wakes.Close()
	} else {
		_ = sys.CloseFD(int(s.fd)) // the descriptor is gone even when close reports an error of earlier writes
	}
	if s.role == roleStream {
		r.report(Event{Kind: StreamClosed, Handle: h, Tag: s.tag})
	}
	r.sockets.Release(uint32(h))
}

// push queues work for the next turn.
func (r *Ring) push(h Handle, s *socket, todo uint8) {
	s.todo |= todo
	if !s.queued {
		s.queued = true
		r.todo = append(r.todo, h)
	}
}

// runTodo turns queued work into submission entries. What finds no room stays queued.
func (r *Ring) runTodo() {
	r.todo, r.work = r.work[:0], r.todo
	for _, h := range r.work {
		s := r.sockets.Get(uint32(h))
		if s == nil {
			continue
		}
		s.queued = false
		if s.closing && s.pending == 0 {
			if len(r.events) < cap(r.events) {
				r.finish(h, s)
				continue
			}
		} else if r.submit(h, s); s.todo == 0 {
			continue
		}
		r.push(h, s, 0)
	}
}

// submit writes the entries a socket wants and clears their todo bits, as far as there is room.
func (r *Ring) submit(h Handle, s *socket) {
	if s.todo&todoCancel != 0 && r.cancel(h, s) {
		s.todo &^= todoCancel
	}
	if s.todo&todoArm != 0 && (s.pending&pendingInput != 0 || r.arm(h, s)) {
		s.todo &^= todoArm
	}
	if s.todo&todoWrite != 0 && r.write(h, s) {
		s.todo &^= todoWrite
	}
	if s.todo&todoPause != 0 && r.pause(h, s) {
		s.todo &^= todoPause
	}
}
