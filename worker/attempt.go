package worker

import (
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/inflight"
)

// An attempt is one entry of Slot.Exchanges that is in use: one upstream being asked. Attempts end by a failure, by their slot's end, or to
// make room for another; one whose time is over stays, Late, because its answer is still welcome.

// attemptOf returns the slot's attempt at u, nil if none is under way.
func attemptOf(s *inflight.Slot, u *upstream) *inflight.Exchange {
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream == u.index {
			return e
		}
	}
	return nil
}

// pending returns how many attempts are under way, and how many of them are in time.
func pending(s *inflight.Slot) (all, inTime int) {
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream != inflight.NoUpstream {
			all++
			if !e.Late {
				inTime++
			}
		}
	}
	return all, inTime
}

// place returns an unused entry, making one by giving up the oldest late attempt; -1 if all are in time.
func (w *worker) place(slot uint32, s *inflight.Slot) int {
	oldest := -1
	for i := range s.Exchanges {
		e := &s.Exchanges[i]
		if e.Upstream == inflight.NoUpstream {
			return i
		}
		if e.Late && (oldest < 0 || e.SentAt < s.Exchanges[oldest].SentAt) {
			oldest = i
		}
	}
	if oldest >= 0 {
		w.giveUp(slot, s, &s.Exchanges[oldest])
	}
	return oldest
}

// sendTo starts an attempt at u and returns its entry; -1 if u did not take it.
func (w *worker) sendTo(slot uint32, s *inflight.Slot, u *upstream) int {
	at := w.place(slot, s)
	if at < 0 {
		return -1
	}
	e := &s.Exchanges[at]
	size := uint16(streamUDPSize)
	if u.datagram() {
		size = upstreamUDPSize
	}
	n := wire.BuildQuery(w.request[:], 0, w.requestKey(s, u), size)
	n = wire.PadQuery(w.request[:], n, u.endpoint.PaddingBlock)
	if !u.datagram() {
		if !u.lane.Submit(slot, s.Gen, time.Duration(s.Deadline), w.request[:n]) {
			u.stats.Faults[transport.FaultFull]++
			return -1
		}
	} else if !w.sendDatagram(slot, s, e, u, w.request[:n]) {
		return -1
	}
	u.stats.Exchanges++
	u.outstanding++
	w.poolStates[s.Pool].under++
	w.under[u.endpoint.Scheme]++
	e.Upstream, e.SentAt, e.Late = u.index, w.now, false
	return at
}

// end takes an attempt off the books; nothing more is expected of it.
func (w *worker) end(s *inflight.Slot, e *inflight.Exchange) {
	if e.Open {
		w.exchanges.Close(uint16(e.Key>>16), uint16(e.Key))
		e.Open = false
	}
	u := w.upstreams[e.Upstream]
	e.Upstream = inflight.NoUpstream
	u.outstanding--
	w.poolStates[s.Pool].under--
	w.under[u.endpoint.Scheme]--
	w.letGo(u)
}

// giveUp ends an attempt whose answer may still come.
func (w *worker) giveUp(slot uint32, s *inflight.Slot, e *inflight.Exchange) {
	u := w.upstreams[e.Upstream]
	if !e.Late {
		u.stats.Cancelled++
	}
	if !e.Open {
		u.lane.Cancel(slot, s.Gen, e.Late)
	}
	w.end(s, e)
}

// free ends a slot for good, with all its attempts.
func (w *worker) free(slot uint32) {
	s := w.table.At(slot)
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream != inflight.NoUpstream {
			w.giveUp(slot, s, e)
		}
	}
	w.tell(s, shared.Word{Outcome: shared.Ask}, false) // if nobody has yet
	w.discharge(s)
	w.table.Release(slot)
}

// overdue marks the attempts whose time is over and tells their upstreams' health.
func (w *worker) overdue(s *inflight.Slot) {
	for i := range s.Exchanges {
		e := &s.Exchanges[i]
		if e.Upstream == inflight.NoUpstream || e.Late || w.now < e.SentAt+w.active.attemptTimeout {
			continue
		}
		e.Late = true
		u := w.upstreams[e.Upstream]
		u.stats.Faults[transport.FaultTimeout]++
		if e.Open && w.unanswered(u, w.sockets[e.Key>>16].path) {
			continue // one address is dead, not the upstream
		}
		u.latency.Observe(w.now, w.now-e.SentAt)
		u.limit.Lost(w.now, u.outstanding)
		u.health.Failed(w.now)
	}
}

// schedule sets the slot's timer to whatever is next: an attempt's time, the hedge, the deadline.
func (w *worker) schedule(slot uint32, s *inflight.Slot) {
	next := s.Deadline
	if s.HedgeAt != 0 {
		next = min(next, s.HedgeAt)
	}
	if at := w.poolOf(s).staleAt(s); at != 0 {
		next = min(next, at)
	}
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream != inflight.NoUpstream && !e.Late {
			next = min(next, e.SentAt+w.active.attemptTimeout)
		}
	}
	w.table.Schedule(slot, next)
	w.expect(s, next)
}
