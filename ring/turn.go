package ring

import (
	"math/bits"
	"syscall"
	"time"

	"secure-dns-proxy/ring/sys"
)

// drainWait is the length of one turn of Shutdown.
const drainWait = 10 * time.Millisecond

// Turn submits everything queued, waits for at least one event at most so long (0 = not at all, negative = without bound),
// and returns what happened, at most Config.Events events. The slice and what it points to are valid until the next Turn.
// It may return early with nothing: a signal, a wake-up, or a completion that concerns nobody.
//
// Waits of up to RawWaitMax keep the Go scheduler's P, longer ones release it. One of RawWaitMax may end at any time before.
func (r *Ring) Turn(wait time.Duration) []Event {
	r.events = r.events[:0]
	r.send.reserved = noSlot
	r.recycle()
	r.runTodo()
	r.enter(wait)
	r.reap()
	if lost := r.u.Lost(); lost != r.lost || r.reclaim {
		r.recoverLost(lost)
	}
	r.watch()
	return r.events
}

// enter makes the turn's system call, or none when there is nothing to submit and nothing to fetch.
func (r *Ring) enter(wait time.Duration) {
	ready := int(r.u.Ready())
	full := len(r.events)+ready >= cap(r.events)
	queued := r.u.Queued()
	if r.u.Overflown() {
		r.counts.Overflows++
	}
	switch {
	case full && queued == 0: // enough for this turn: let the queue drain before more is fetched
	case full:
		r.flush()
	case wait == 0 || ready > 0 || len(r.events) > 0 || len(r.todo) > 0:
		if queued == 0 && !r.u.Stirring() {
			return
		}
		r.counts.Enters++
		r.submitted(r.u.Poll())
	default:
		r.counts.Enters++
		r.submitted(r.sleep(wait))
	}
}

// sleep submits everything queued and waits. The usual wait of a busy worker has no time limit of its own but the alarm, which stays set
// while the worker wakes and sleeps again: to set and cancel a timer for each wait costs a query that comes alone 2 us in a virtual machine.
func (r *Ring) sleep(wait time.Duration) syscall.Errno {
	if wait == RawWaitMax && !r.polls && r.setAlarm() {
		return r.u.Wait(-1, true)
	}
	return r.u.Wait(wait, wait > 0 && wait <= RawWaitMax)
}

// recycle gives the buffers of the last slice back to the kernel.
func (r *Ring) recycle() {
	for _, id := range r.heldDatagrams {
		r.datagrams.Add(id)
	}
	for _, id := range r.heldStreams {
		r.streams.Add(id)
	}
	r.heldDatagrams, r.heldStreams = r.heldDatagrams[:0], r.heldStreams[:0]
	r.datagrams.Publish()
	r.streams.Publish()
}

// reap takes completions as far as there is room for events: each makes one at most.
func (r *Ring) reap() {
	n := min(int(r.u.Ready()), cap(r.events)-len(r.events))
	for range n {
		c := r.u.Take()
		r.complete(c.UserData(), c.Result(), c.Flags())
	}
	r.u.Release()
}

func (r *Ring) complete(data uint64, result int32, flags uint32) {
	h := Handle(data)
	s := r.sockets.Get(uint32(data))
	if s == nil && data>>opShift<<opShift == opAlarm {
		if data == opAlarm|r.alarmData() { // not one that was believed lost
			r.alarmed = false
		}
		return
	}
	if s == nil {
		r.counts.Stale++ // a cancellation or a failed datagram; operations that hold a buffer keep their socket
		return
	}
	switch data >> opShift << opShift {
	case opInput:
		r.input(h, s, result, flags)
	case opWrite:
		r.done(s, pendingWrite)
		r.wrote(h, s, result)
	case opPause:
		r.done(s, pendingPause)
		if !s.closing {
			r.push(h, s, todoArm)
		}
	case opSend:
		r.counts.SendFailures++
		if !s.closing {
			r.report(Event{Kind: SendFailed, Handle: h, Tag: s.tag, Errno: syscall.Errno(-result)})
		}
	case opTrain:
		r.derailed(h, s, syscall.Errno(-result))
	case opCancelInput:
		r.missed(h, s, pendingInput, result)
	case opCancelWrite:
		r.missed(h, s, pendingWrite, result)
	case opCancelPause:
		r.missed(h, s, pendingPause, result)
	}
	if s.closing && s.pending == 0 {
		r.finish(h, s)
	}
}

// input deals with a completion of a socket's receive, accept or read. Whether the operation is over is looked at first,
// whatever the result: a multishot that ended unnoticed leaves its socket deaf.
func (r *Ring) input(h Handle, s *socket, result int32, flags uint32) {
	if flags&sys.CQEMore == 0 {
		r.done(s, pendingInput)
		if s.role != roleStream && !s.closing {
			r.counts.Rearms++
			r.push(h, s, todoArm)
		}
	}
	switch s.role {
	case roleDatagram:
		r.received(h, s, result, flags)
	case roleListener:
		r.accepted(h, s, result)
	case roleStream:
		r.read(h, s, result, flags)
	case roleWaker:
		if result == 8 {
			r.counts.Wakes++
		}
	}
}

// done notes that an operation is over.
func (r *Ring) done(s *socket, bit uint8) {
	s.pending &^= bit
	s.suspect &^= bit
	s.misses[bits.TrailingZeros8(bit)] = 0
}

// rest puts a socket to rest for AcceptPause instead of arming it at once.
func (r *Ring) rest(h Handle, s *socket) {
	s.todo &^= todoArm
	r.push(h, s, todoPause)
}

// report adds an event to the slice. The caller has made sure of room.
func (r *Ring) report(e Event) {
	r.events = append(r.events, e)
}
