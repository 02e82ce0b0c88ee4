package mmsg

import (
	"slices"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// pollEvery turns epoll is asked though hot sockets keep the worker busy, so that streams and wake-ups are seen: at full
// load about every millisecond.
const pollEvery = 8

// Turn sends everything queued, waits for at least one event at most so long (0 = not at all, negative = without bound),
// and returns what happened, at most Config.Events events. The slice and what it points to are valid until the next Turn.
// It may return early with nothing.
//
// Waits of up to ring.RawWaitMax keep the Go scheduler's P, longer ones release it. One of ring.RawWaitMax may end at any time before.
func (e *Engine) Turn(wait time.Duration) []ring.Event {
	e.events = e.events[:0]
	e.receive.used, e.streams.used = 0, 0
	e.send.reserved = noSlot
	e.turns++
	e.flush()
	e.reportFailures()
	e.runTodo()
	if len(e.events) > 0 || len(e.todo) > 0 {
		wait = 0
	}
	if len(e.todo) == 0 || e.turns%pollEvery == 0 { // a hot socket is in todo
		e.ask(wait)
	}
	return e.events
}

// room is the number of events that still fit into this turn's slice.
func (e *Engine) room() int { return cap(e.events) - len(e.events) }

// report adds an event to the slice. The caller has made sure of room.
func (e *Engine) report(event ring.Event) { e.events = append(e.events, event) }

// runTodo serves sockets that need no word from epoll: hot ones, streams believed ready, closed ones. What a socket could
// not finish for want of room stays queued. Those that had no room at all are the first of the next turn: hot sockets would else take it
// all, turn after turn.
func (e *Engine) runTodo() {
	e.todo, e.work = e.work[:0], e.todo
	for i, h := range e.work {
		if e.room() == 0 {
			e.todo = append(e.todo, e.work[i:]...)
			rotate(e.todo, len(e.todo)-len(e.work[i:]))
			return
		}
		s := e.sockets.Get(uint32(h))
		if s == nil {
			continue
		}
		s.queued = false
		e.serve(h, s)
	}
}

// rotate moves the first n handles behind the others.
func rotate(handles []ring.Handle, n int) {
	slices.Reverse(handles[:n])
	slices.Reverse(handles[n:])
	slices.Reverse(handles)
}

// ask lets epoll name the sockets that are ready and serves them.
func (e *Engine) ask(wait time.Duration) {
	e.counts.Enters++
	raw := wait > 0 && wait <= ring.RawWaitMax
	if wait == ring.RawWaitMax && e.setAlarm() {
		wait = -1
	}
	ready, errno := e.poll.Wait(wait, raw)
	if errno != 0 {
		panic("mmsg: epoll_pwait2: " + errno.Error())
	}
	for i := range ready {
		event := &ready[i]
		h := ring.Handle(uint32(event.Fd))
		s := e.sockets.Get(uint32(h))
		if s == nil {
			e.counts.Stale++
			continue
		}
		over := event.Events&sys.EpollOver != 0
		s.hungUp = s.hungUp || over || event.Events&sys.EpollHangUp != 0
		s.readable = s.readable || s.hungUp || event.Events&sys.EpollIn != 0
		s.writable = s.writable || over || event.Events&sys.EpollOut != 0
		if !s.queued { // a queued one has its turn already
			e.serve(h, s)
		}
	}
}

// serve does what can be done for a socket now.
func (e *Engine) serve(h ring.Handle, s *socket) {
	switch s.role {
	case roleDatagram:
		e.readDatagrams(h, s)
	case roleListener:
		e.accept(h, s)
	case roleStream:
		e.serveStream(h, s)
	case roleWaker:
		sys.DrainEventfd(int(s.fd))
		e.counts.Wakes++
	case roleTimer:
		sys.DrainEventfd(int(s.fd))
		e.resume()
	case roleAlarm:
		sys.DrainEventfd(int(s.fd))
		e.alarmed = false
	}
}

// setAlarm makes sure that the alarm will end a wait, as ring.Ring has it.
func (e *Engine) setAlarm() bool {
	if !e.alarmed {
		e.alarmed = sys.StartTimer(e.alarm, ring.RawWaitMax) == 0
	}
	return e.alarmed
}

// rest stops watching a socket for ring.AcceptPause.
func (e *Engine) rest(h ring.Handle, s *socket) {
	e.poll.Remove(int(s.fd))
	e.paused = append(e.paused, h)
	e.counts.AcceptPauses++
	if errno := sys.StartTimer(e.timer, ring.AcceptPause); errno != 0 {
		panic("mmsg: timerfd_settime: " + errno.Error())
	}
}

// resume watches the sockets at rest again.
func (e *Engine) resume() {
	e.paused, e.resuming = e.resuming[:0], e.paused
	for _, h := range e.resuming {
		s := e.live(h)
		if s == nil {
			continue
		}
		e.counts.Rearms++
		if err := e.poll.Add(int(s.fd), sys.EpollIn, int32(h)); err != nil {
			e.counts.Unexpected++ // no memory for the watch: try again later
			e.rest(h, s)
		}
	}
}
