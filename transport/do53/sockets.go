package do53

// socket is what the table knows of one. 40 bytes, no pointers.
type socket struct {
	due         int64 // ns: in use: too old; retired: waited long enough
	outstanding uint32
	uses        uint32
	usesMost    uint32
	wrong       uint32
	state       state
	queued      bool
}

type state uint8

const (
	loose   state = iota // not started, or stopped: no opinion about it
	inUse                // for queries and answers
	retired              // for answers only
)

// Step is what Rotate asks for.
type Step uint8

const (
	Nothing Step = iota
	Replace      // open another socket towards the same server and start it, then Retire this one
	Close        // close this one; it has been stopped
)

// Started says that the caller has opened a socket and keeps it under this number, on which no exchange is open. From here on Rotate
// watches over it; a socket that was not started can be used, and is never rotated.
func (t *Table) Started(sock uint16, now int64) {
	s := &t.sockets[sock]
	if s.state != loose || s.outstanding != 0 {
		panic("do53: start of a socket number that is still in use")
	}
	*s = socket{
		state:    inUse,
		due:      now + int64(ageMax) - int64(t.random.next())*int64(ageMax/2)>>16,
		usesMost: usesMax - uint32(t.random.next())*(usesMax/2)>>16,
		queued:   s.queued,
	}
	t.known = max(t.known, int(sock)+1)
	t.stats.Started++
}

// Retire takes a socket out of use that has been replaced. Answers still match until its exchanges are over, drainMax at most.
func (t *Table) Retire(sock uint16, now int64) {
	s := &t.sockets[sock]
	if s.state != inUse {
		panic("do53: retirement of a socket that is not in use")
	}
	s.state = retired
	s.due = now + int64(drainMax)
	if s.outstanding == 0 {
		t.enqueue(sock)
	}
}

// Stopped says that the caller closes the socket, in whatever state. Its number may stand for another one as soon as nothing is
// Outstanding on it.
func (t *Table) Stopped(sock uint16) {
	s := &t.sockets[sock]
	if s.state != loose && s.outstanding != 0 {
		t.stats.Forced++
	}
	s.state = loose
}

// Choose picks one of the sockets at random, unpredictably, among those that are not retired and have room. False: none. No allocation.
func (t *Table) Choose(socks []uint16) (sock uint16, ok bool) {
	if len(socks) == 0 {
		return 0, false
	}
	first := int(t.random.next()) * len(socks) >> 16
	for i := range socks {
		at := first + i
		if at >= len(socks) {
			at -= len(socks)
		}
		if s := &t.sockets[socks[at]]; s.state != retired && s.outstanding < OutstandingPerSocketMax {
			return socks[at], true
		}
	}
	return 0, false
}

// Rotate returns the next socket that something has to be done about; call it until it says Nothing. Close has been carried out in the
// table when it returns. Replace that is not followed by Retire, because no socket could be had, is asked for again a second later.
// Costs a comparison when nothing is due.
func (t *Table) Rotate(now int64) (sock uint16, step Step) {
	if now >= t.scanAt {
		t.scanAt = now + int64(scanInterval)
		t.scan(now)
	}
	for t.ready.n > 0 {
		sock = t.ready.pop()
		s := &t.sockets[sock]
		s.queued = false
		switch {
		case s.state == retired && (s.outstanding == 0 || now >= s.due):
			t.Stopped(sock)
			return sock, Close
		case s.state == inUse && s.worn(now):
			s.postpone(now + int64(replaceRetry))
			return sock, Replace
		}
	}
	return 0, Nothing
}

// worn tells whether a socket in use should be replaced. One that has sent nothing has nothing to be found out.
func (s *socket) worn(now int64) bool {
	return s.uses >= s.usesMost || s.wrong >= wrongMax || s.uses > 0 && now >= s.due
}

// postpone makes a socket worn again at that time, and not before.
func (s *socket) postpone(at int64) {
	s.due, s.uses, s.usesMost, s.wrong = at, 1, usesMax, 0
}

// scan queues all sockets whose time is over.
func (t *Table) scan(now int64) {
	for i := range t.known {
		s := &t.sockets[i]
		if s.state == inUse && s.worn(now) || s.state == retired && now >= s.due {
			t.enqueue(uint16(i))
		}
	}
}

// enqueue has Rotate look at a socket.
func (t *Table) enqueue(sock uint16) {
	if s := &t.sockets[sock]; !s.queued {
		s.queued = true
		t.ready.push(sock)
	}
}

// ready is a queue that holds each socket at most once, so it has room for every one.
type ready struct {
	queue []uint16
	first int
	n     int
}

func (q *ready) push(sock uint16) {
	q.queue[(q.first+q.n)%SocketsMax] = sock
	q.n++
}

func (q *ready) pop() uint16 {
	sock := q.queue[q.first]
	q.first = (q.first + 1) % SocketsMax
	q.n--
	return sock
}
