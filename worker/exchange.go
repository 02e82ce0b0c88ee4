package worker

import (
	"encoding/binary"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
)

// exchange asks the first upstreams for a new slot: one, or with Race several. When none can be asked the query fails.
func (w *worker) exchange(slot uint32) {
	s := w.table.At(slot)
	p := w.poolOf(s)
	p.stats.Queries++
	p.retry.Count(w.now)
	p.hedge.Count(w.now)
	u, v := w.next(slot, s, p)
	if v != chosen {
		w.giveIn(slot, s, p, v)
		return
	}
	switch p.spec.Policy {
	case balance.Race:
		w.race(slot, s, p)
	case balance.Hedged:
		if tail := u.latency.Tail(); tail != 0 && len(p.members) > 1 {
			s.HedgeAt = w.now + tail
		}
	}
	w.schedule(slot, s)
}

// next asks one more upstream of p and returns it; v tells why there is none.
func (w *worker) next(slot uint32, s *inflight.Slot, p *pool) (u *upstream, v verdict) {
	for s.Attempts < attemptsMax {
		if u, v = w.pick(s, p); v != chosen {
			return nil, v
		}
		s.Attempts++
		s.Tried[u.index>>6] |= 1 << (u.index & 63)
		if w.sendTo(slot, s, u) >= 0 {
			p.full = p.rate.spend(p.full, w.now)
			return u, chosen
		}
	}
	return nil, noneUp
}

// race asks the rest of the field at once.
func (w *worker) race(slot uint32, s *inflight.Slot, p *pool) {
	field := p.spec.Fanout
	if field == 0 {
		field = len(p.members)
	}
	for n := 1; n < min(field, inflight.ExchangesMax); n++ {
		if _, v := w.next(slot, s, p); v != chosen {
			return
		}
		p.stats.Racers++
	}
}

// hedge asks a second upstream because the first one takes longer than it usually does.
func (w *worker) hedge(slot uint32, s *inflight.Slot, p *pool) {
	s.HedgeAt = 0
	if !p.hedge.Spend(w.now, p.spec.HedgePercent, 0) {
		p.stats.HedgesDenied++
		return
	}
	if !p.retry.Spend(w.now, p.spec.RetryPercent, balance.RetryFloor) {
		p.hedge.Return()
		p.stats.HedgesDenied++
		return
	}
	u, v := w.next(slot, s, p)
	if v != chosen {
		p.hedge.Return()
		p.retry.Return()
		return
	}
	p.stats.Hedges++
	for i := range s.Exchanges {
		if s.Exchanges[i].Upstream == u.index {
			s.Hedge = int8(i + 1)
		}
	}
}

// retry asks another upstream because all that were asked failed or are late, and reports whether it could.
func (w *worker) retry(slot uint32, s *inflight.Slot, p *pool) bool {
	if s.Attempts >= attemptsMax {
		return false
	}
	if !p.retry.Spend(w.now, p.spec.RetryPercent, balance.RetryFloor) {
		p.stats.RetriesDenied++
		return false
	}
	if _, v := w.next(slot, s, p); v != chosen {
		p.retry.Return()
		return false
	}
	w.stats.Retries++
	p.stats.Retries++
	return true
}

// deadline is called when the slot's timer has run out: for an attempt, for the hedge, or for the query.
func (w *worker) deadline(slot uint32) {
	s := w.table.At(slot)
	p := w.poolOf(s)
	if s.Following {
		w.followDue(slot, s, p)
		return
	}
	if s.Step == stepInspection || s.Step == stepAnswer {
		w.inspectDue(slot, s)
		return
	}
	w.overdue(s)
	if w.now >= s.Deadline {
		w.remember(s, p, wire.RCodeServFail)
		w.fail(slot, p, wire.EDENetworkError)
		return
	}
	if at := p.staleAt(s); at != 0 && w.now >= at {
		w.relieve(slot, s, p)
	}
	if s.AskingTier {
		w.tierDue(slot, s)
		return
	}
	if s.HedgeAt != 0 && w.now >= s.HedgeAt {
		w.hedge(slot, s, p)
	}
	if _, inTime := pending(s); inTime == 0 && !w.retry(slot, s, p) {
		w.sendAgain(slot, s, p) // else, on a connection nothing is lost: the answer may still come
	}
	w.schedule(slot, s)
}

// failed is called when the attempt of a slot at u has come to nothing.
func (w *worker) failed(slot uint32, u *upstream, fault transport.Fault) {
	s := w.table.At(slot)
	e := attemptOf(s, u)
	if e == nil {
		return // given up before
	}
	u.stats.Faults[fault]++
	if fault != transport.FaultFull && fault != transport.FaultShutdown {
		u.health.Failed(w.now)
		u.latency.Observe(w.now, max(w.now-e.SentAt, w.active.attemptTimeout))
	}
	w.end(s, e)
	w.goOn(slot, s, fault == transport.FaultClosed || fault == transport.FaultShutdown)
}

// goOn decides what becomes of a slot that has lost an attempt. again: the connection was at fault, not the upstream, which may be asked
// once more when no other is left.
func (w *worker) goOn(slot uint32, s *inflight.Slot, again bool) {
	p := w.poolOf(s)
	all, inTime := pending(s)
	if inTime > 0 {
		w.schedule(slot, s)
		return
	}
	ok := w.retry(slot, s, p)
	if !ok && again && !s.Again {
		s.Again, s.Tried = true, [2]uint64{}
		ok = w.retry(slot, s, p)
	}
	if ok || all > 0 {
		w.schedule(slot, s)
		return
	}
	w.fail(slot, p, wire.EDENoReachableAuthority)
}

// giveIn answers a slot for which no upstream could be asked at all.
func (w *worker) giveIn(slot uint32, s *inflight.Slot, p *pool, v verdict) {
	if v == limited {
		w.tell(s, shared.Word{Outcome: shared.Ask}, false) // others may have room
		w.failLimited(slot, p)
		return
	}
	w.fail(slot, p, wire.EDENoReachableAuthority)
}

// fail answers every waiter with what is left of an older answer, if the pool allows that, else SERVFAIL, and ends the slot.
func (w *worker) fail(slot uint32, p *pool, ede uint16) {
	s := w.table.At(slot)
	w.blame(s, false)
	w.tellFailure(s, wire.RCodeServFail, ede)
	if w.staleFor(s, p) {
		w.deliver(s, slot, &w.answer, 0, 0)
	} else {
		w.countOutcome(s, wire.RCodeServFail)
		p.stats.Failed++
		w.deliver(s, slot, nil, wire.RCodeServFail, ede)
	}
	w.free(slot)
}

// answered is called when w.answer holds a well-formed response of u to the slot's question.
func (w *worker) answered(slot uint32, u *upstream) {
	s := w.table.At(slot)
	p := w.poolOf(s)
	u.stats.Answers++
	useless := unhelpful(w.answer.RCode)
	if e := attemptOf(s, u); e != nil {
		w.measure(s, p, u, e, useless)
		w.end(s, e)
	}
	if p.tells && w.refusedSubnet(slot, s, u, p) {
		return
	}
	if !w.active.passErrors {
		w.answer.Extended = 0
	}
	if useless {
		if _, inTime := pending(s); inTime > 0 || w.retry(slot, s, p) {
			w.schedule(slot, s)
			return
		} // what is late has had its time
	}
	w.blame(s, !useless)
	if w.active.tier != nil {
		w.draftFill(s, p)
	}
	if w.scrub(slot, s, p, useless) {
		w.fillTier(true)
		return
	}
	switch {
	case useless || w.answer.RCode == wire.RCodeFormErr:
		w.remember(s, p, w.answer.RCode)
		if w.answer.RCode <= wire.RCodeMask {
			w.tellFailure(s, w.answer.RCode, w.answer.Reason())
		}
		if w.staleFor(s, p) {
			w.deliver(s, slot, &w.answer, 0, 0)
			w.free(slot)
			return
		}
	default:
		w.failures.Forget(s.Hash)
	}
	if w.answer.RCode > 15 { // our own EDNS was refused: nothing that a client could make sense of
		w.fail(slot, p, wire.EDENetworkError)
		return
	}
	w.conclude(slot, s, p)
}

// conclude ends a slot with w.answer, which is kept and given to its clients.
func (w *worker) conclude(slot uint32, s *inflight.Slot, p *pool) {
	w.countOutcome(s, w.answer.RCode)
	w.shedding.ended++
	w.clampTTLs(&w.answer, p)
	if w.active.inspect != nil && w.inspectAnswer(slot, s) {
		return
	}
	w.finish(slot, s, p)
}

// finish is the rest of conclude, once it is known that the answer may be given.
func (w *worker) finish(slot uint32, s *inflight.Slot, p *pool) {
	keep := s.Passing == 0
	if w.rules.policy != nil && w.rules.policy.Has(policy.ChainResponse) {
		kept, given := w.decideAnswer(s)
		if keep = keep && kept; !given {
			w.fillTier(false)
			w.tellResult(s, shared.TooLarge)
			w.forsake(s, slot)
			return
		}
	}
	w.fillTier(keep)
	w.tellResult(s, w.keep(s, p, keep))
	w.returnOptions(s)
	w.deliver(s, slot, &w.answer, 0, 0)
	w.free(slot)
}

// remember keeps that the question of a slot has no answer: its upstreams said so, or were silent to the deadline (RFC 9520 §2). What could not
// be asked at all, for want of room or because nobody is reachable, is not remembered: trying again costs no upstream anything, and works
// as soon as one is back.
func (w *worker) remember(s *inflight.Slot, p *pool, rcode uint16) {
	if !w.keeps(p, s.KeyBytes()) {
		return
	}
	if rcode > wire.RCodeMask {
		rcode = wire.RCodeServFail
	}
	s.Remembered = true
	w.failures.Add(s.Hash, rcode, w.now, w.active.failureTTL, w.active.failureTTLMax)
}

// measure takes in how long an attempt took. An answer that was useless is held against its upstream only once another one had a better one:
// see blame.
func (w *worker) measure(s *inflight.Slot, p *pool, u *upstream, e *inflight.Exchange, useless bool) {
	latency := w.now - e.SentAt
	u.stats.Latency.add(latency, 1)
	if quick := &w.shedding.quick; *quick == 0 || latency < *quick {
		*quick = max(latency, 1)
	}
	if !e.Late { // else it was counted as lost
		u.latency.Observe(w.now, latency)
		u.limit.Answered(w.now, latency, u.outstanding)
	}
	if useless {
		s.Useless[u.index>>6] |= 1 << (u.index & 63)
		return
	}
	u.health.Succeeded(w.now, latency)
	if s.Hedge != 0 && e == &s.Exchanges[s.Hedge-1] {
		p.stats.HedgeWins++
	}
}

// blame settles what the SERVFAIL, NOTIMP and REFUSED answers to a slot say of their upstreams. If another upstream had an answer, they
// were at fault; if all said the same, the name is. An upstream that is on trial has not passed it either way.
func (w *worker) blame(s *inflight.Slot, better bool) {
	if s.Useless == [2]uint64{} {
		return
	}
	for _, u := range w.upstreams {
		if u == nil || s.Useless[u.index>>6]&(1<<(u.index&63)) == 0 {
			continue
		}
		if better || u.onTrial() {
			u.health.Declined(w.now, 0)
		} else {
			u.health.Succeeded(w.now, 0)
		}
	}
	s.Useless = [2]uint64{}
}

// onTrial reports whether u is down, or is being tried whether it still is.
func (u *upstream) onTrial() bool {
	state := u.health.Status()
	return state == health.Down || state == health.Trial
}

// unhelpful reports whether another upstream may know better: SERVFAIL, NOTIMP and REFUSED say something of the server, not of the name.
func unhelpful(rcode uint16) bool {
	return rcode == wire.RCodeServFail || rcode == wire.RCodeNotImp || rcode == wire.RCodeRefused || rcode > 15
}

// clampTTLs brings the TTLs of a, and the time that it may be kept, within the bounds of its pool. A TTL of 0 stays 0: its owner wants
// it asked for each time. No record of a negative answer is told for longer than the answer is kept: RFC 2308 §5.
func (w *worker) clampTTLs(a *wire.Answer, p *pool) {
	low, high := p.ttls.Min, p.ttls.Max
	if a.Negative {
		low, high = p.ttls.NegativeMin, min(high, p.ttls.NegativeMax)
	}
	clampTTLs(a, low, high)
}

// clampTTLs does it with bounds of its own.
func clampTTLs(a *wire.Answer, low, high uint32) {
	if a.TTL != 0 {
		a.TTL = min(max(a.TTL, low), high)
		if a.Negative {
			high = a.TTL
		}
	}
	for _, offset := range a.TTLs {
		field := a.Records[offset : offset+4]
		if ttl := binary.BigEndian.Uint32(field); ttl != 0 && (ttl < low || ttl > high) {
			binary.BigEndian.PutUint32(field, min(max(ttl, low), high))
		}
	}
}
