package worker

import (
	"encoding/binary"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

// exchange sends the query of a slot to the next upstream that takes it; when none does, the query fails.
func (w *worker) exchange(slot uint32) {
	if !w.tryNext(slot, w.table.At(slot)) {
		w.fail(slot, wire.EDENoReachableAuthority)
	}
}

// tryNext sends the query of a slot to the next upstream that was not tried for it, and reports whether one took it. What was under
// way for the slot is left only if one did.
func (w *worker) tryNext(slot uint32, s *inflight.Slot) bool {
	for s.Attempts < attemptsMax {
		i := balance.Pick(w.active.policy, w.active.states, s.Tried, w.active.cursor, w.now)
		if i < 0 {
			return false
		}
		if s.Attempts == 0 {
			w.active.cursor++
		} else {
			w.stats.Retries++
		}
		s.Tried |= 1 << uint(i)
		s.Attempts++
		if w.sendTo(slot, s, w.active.list[i]) {
			return true
		}
	}
	return false
}

// sendTo starts an exchange with u and reports whether it was taken.
func (w *worker) sendTo(slot uint32, s *inflight.Slot, u *upstream) bool {
	n := wire.BuildQuery(w.request[:], 0, s.KeyBytes(), upstreamUDPSize)
	n = wire.PadQuery(w.request[:], n, u.endpoint.PaddingBlock)
	if !u.datagram() {
		if !u.lane.Submit(slot, s.Gen, time.Duration(s.Deadline), w.request[:n]) {
			u.stats.Faults[transport.FaultFull]++
			return false
		}
		w.leave(s)
	} else if !w.sendDatagram(slot, s, u, w.request[:n]) {
		return false
	}
	u.stats.Exchanges++
	u.outstanding++
	s.Upstream, s.SentAt = u.index, w.now
	w.table.Schedule(slot, min(w.now+w.active.attemptTimeout, s.Deadline))
	return true
}

// leave ends the slot's current exchange without a result: an answer to it is not waited for any more.
func (w *worker) leave(s *inflight.Slot) {
	if s.ExchangeOpen {
		w.exchanges.Close(uint16(s.ExchangeKey>>16), uint16(s.ExchangeKey))
		s.ExchangeOpen = false
	}
	if s.Upstream == noUpstream {
		return
	}
	u := w.upstreams[s.Upstream]
	s.Upstream = noUpstream
	u.outstanding--
	w.letGo(u)
}

// free ends a slot for good.
func (w *worker) free(slot uint32) {
	w.leave(w.table.At(slot))
	w.table.Release(slot)
}

// deadline is called when the slot's timer has run out: for one attempt, or for the query.
func (w *worker) deadline(slot uint32) {
	s := w.table.At(slot)
	u := w.upstreams[s.Upstream]
	switch {
	case w.now >= s.Deadline:
		w.fail(slot, wire.EDENetworkError)
	case w.tryNext(slot, s):
	case s.ExchangeOpen && s.Attempts < attemptsMax:
		w.sendAgain(slot, s, u)
	default: // on a connection nothing is lost: the answer may still come
		w.table.Schedule(slot, s.Deadline)
		return
	}
	u.stats.Faults[transport.FaultTimeout]++
	u.health.Failed(w.now)
}

// failed is called when the slot's current exchange, with u, cannot be answered.
func (w *worker) failed(slot uint32, u *upstream, fault transport.Fault) {
	s := w.table.At(slot)
	u.stats.Faults[fault]++
	if fault != transport.FaultFull && fault != transport.FaultShutdown {
		u.health.Failed(w.now)
	}
	if w.tryNext(slot, s) {
		return
	}
	if again := fault == transport.FaultClosed || fault == transport.FaultShutdown; again && s.Attempts < attemptsMax {
		s.Tried = 0 // the connection was at fault, not the upstream: ask round again
		if w.tryNext(slot, s) {
			return
		}
	}
	w.fail(slot, wire.EDENoReachableAuthority)
}

// fail answers every waiter SERVFAIL and ends the slot.
func (w *worker) fail(slot uint32, ede uint16) {
	w.deliver(w.table.At(slot), slot, nil, wire.RCodeServFail, ede)
	w.free(slot)
}

// answered is called when w.answer holds a well-formed response of u to the slot's question.
func (w *worker) answered(slot uint32, u *upstream) {
	s := w.table.At(slot)
	u.stats.Answers++
	if s.Upstream == u.index { // else late: that exchange was counted as failed
		latency := w.now - s.SentAt
		u.stats.Latency.add(latency, 1)
		if unhelpful(w.answer.RCode) {
			u.health.Declined(w.now, latency)
		} else {
			u.health.Succeeded(w.now, latency)
		}
	}
	if unhelpful(w.answer.RCode) && w.tryNext(slot, s) {
		return
	}
	if w.answer.RCode > 15 { // our own EDNS was refused: nothing that a client could make sense of
		w.fail(slot, wire.EDENetworkError)
		return
	}
	w.clampTTLs(&w.answer)
	if w.cache != nil && w.answer.TTL != 0 {
		w.cache.Put(s.Hash, s.KeyBytes(), &w.answer, w.answer.TTL, w.seconds())
	}
	w.deliver(s, slot, &w.answer, 0, 0)
	w.free(slot)
}

// unhelpful reports whether another upstream may know better: SERVFAIL, NOTIMP and REFUSED say something of the server, not of the name.
func unhelpful(rcode uint16) bool {
	return rcode == wire.RCodeServFail || rcode == wire.RCodeNotImp || rcode == wire.RCodeRefused || rcode > 15
}

// clampTTLs brings the TTLs of a, and the time that it may be kept, within the configured bounds. A TTL of 0 stays 0: its owner wants
// it asked for each time.
func (w *worker) clampTTLs(a *wire.Answer) {
	low, high := w.active.ttlMin, w.active.ttlMax
	if a.Negative {
		high = min(high, w.active.negativeTTLMax)
		low = min(low, high)
	}
	for _, offset := range a.TTLs {
		field := a.Records[offset : offset+4]
		if ttl := binary.BigEndian.Uint32(field); ttl != 0 && (ttl < low || ttl > high) {
			binary.BigEndian.PutUint32(field, min(max(ttl, low), high))
		}
	}
	if a.TTL != 0 {
		a.TTL = min(max(a.TTL, low), high)
	}
}
