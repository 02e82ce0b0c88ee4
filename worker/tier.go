package worker

import (
	"errors"
	"fmt"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

// Before an upstream is asked, the cache is that the instances share, if there is one: see transport/tier. The slot is there already and has its clients; it waits
// for the tier (Slot.AskingTier) with a timer. When that is over, or the tier has nothing, the exchange begins as it would have without. An answer of the
// tier that is late is used if it comes before an upstream's.

// Tier is the cache that instances share, as a snapshot has it.
type Tier struct {
	Store   *tier.Store   // nil: there is none. One that is the same pointer as in the snapshot before stays connected
	Budget  time.Duration // how long a query waits for it, at most, before an upstream is asked: tier.BudgetMin to tier.BudgetMax
	Breaker tier.BreakerConfig
}

func (t *Tier) validate(cacheBytes int64) error {
	if t.Store == nil {
		return nil
	}
	var errs []error
	if t.Budget < tier.BudgetMin || t.Budget > tier.BudgetMax {
		errs = append(errs, fmt.Errorf("second-tier cache: budget %v: want %v to %v", t.Budget, tier.BudgetMin, tier.BudgetMax))
	}
	if cacheBytes == 0 {
		errs = append(errs, errors.New("second-tier cache: there is no first one"))
	}
	return errors.Join(append(errs, t.Breaker.Validate())...)
}

// tierLink is a Store as one worker sees it. The Group makes it, the worker alone uses it.
type tierLink struct {
	_       [128]byte
	store   *tier.Store
	line    *tier.Line
	breaker tier.Breaker
	budget  int64 // ns
	_       [128]byte
}

// set takes in what a reload may change, and returns t, which may be nil.
func (t *tierLink) set(c *Tier) *tierLink {
	if t != nil {
		t.budget, t.breaker.Config = int64(c.Budget), c.Breaker
	}
	return t
}

// mayShare reports whether answers of p to the question of key, for a slot, may be in a cache that others have.
func (w *worker) mayShare(s *inflight.Slot, p *pool, key []byte) bool {
	return s.Passing == 0 && w.keeps(p, key) && wire.KeyPartition(key) == 0
}

// askTier asks the tier for the answer to a new slot, and reports whether it did.
func (w *worker) askTier(slot uint32, s *inflight.Slot) bool {
	t, p, key := w.active.tier, w.poolOf(s), w.questionOf(s)
	if !w.mayShare(s, p, key) {
		return false
	}
	if !t.breaker.Allow(w.now) {
		w.stats.TierSkipped++
		return false
	}
	// Timers are never early, so the budget ends with the last tick that is within it.
	until := (w.now + t.budget) / inflight.TickNanos * inflight.TickNanos
	if !t.line.Ask(slot, s.Gen, time.Duration(until), p.spec.Name, key) {
		w.stats.TierRefused++
		return false
	}
	w.stats.TierAsked++
	s.AskingTier, s.HedgeAt = true, until
	w.schedule(slot, s)
	return true
}

// tierDue is called when the timer of a slot that waits for the tier has run out.
func (w *worker) tierDue(slot uint32, s *inflight.Slot) {
	if w.now < s.HedgeAt {
		w.schedule(slot, s) // it was for something else
		return
	}
	s.AskingTier, s.HedgeAt = false, 0
	w.stats.TierLate++
	if t := w.active.tier; t != nil {
		w.tierFailed(t)
	}
	w.exchange(slot)
}

// tierFailed tells the breaker of a question that brought nothing in time.
func (w *worker) tierFailed(t *tierLink) {
	before := t.breaker.Outs
	t.breaker.Bad(w.now)
	w.stats.TierOuts += t.breaker.Outs - before
}

// receiveTier takes what the tier has brought, at most laneBatch replies so that it does not hold up the turn.
func (w *worker) receiveTier() {
	t := w.active.tier
	for range laneBatch {
		r, ok := t.line.Receive()
		if !ok {
			return
		}
		w.busy = true
		w.tierReply(t, &r)
	}
}

// tierReply handles one reply. Once an upstream is being asked only an answer is of interest.
func (w *worker) tierReply(t *tierLink, r *tier.Reply) {
	s := w.table.Live(r.Slot, r.Gen)
	if s == nil {
		return // an upstream was quicker
	}
	late := !s.AskingTier
	if !late {
		s.AskingTier, s.HedgeAt = false, 0
		w.stats.TierLatency.add(w.now-s.Started, 1)
	}
	switch {
	case r.Fault != transport.FaultNone:
		if !late {
			w.stats.TierErrors++
			w.tierFailed(t)
		}
	case len(r.Msg) == 0:
		if !late {
			w.stats.TierMisses++
			t.breaker.Good(w.now)
		}
	case wire.ParseResponse(r.Msg, w.questionOf(s), &w.answer, &w.scratch) != wire.FaultNone || w.answer.TTL == 0:
		w.stats.TierInvalid++
		if !late {
			t.breaker.Good(w.now)
		}
	default:
		w.tierAnswered(t, r.Slot, s, late)
		return
	}
	if !late {
		w.exchange(r.Slot)
	}
}

// tierAnswered ends a slot with the tier's answer, which is in w.answer and is treated as an upstream's.
func (w *worker) tierAnswered(t *tierLink, slot uint32, s *inflight.Slot, late bool) {
	if late {
		w.stats.TierLateHits++
	} else {
		w.stats.TierHits++
		t.breaker.Good(w.now)
	}
	p := w.poolOf(s)
	if !w.active.passErrors {
		w.answer.Extended = 0
	}
	if w.scrub(slot, s, p, false) {
		return // goes on with another question
	}
	if unhelpful(w.answer.RCode) { // there was something in it that made it none
		if w.stats.TierInvalid++; !late {
			w.exchange(slot)
		}
		return
	}
	w.blame(s, false)
	w.failures.Forget(s.Hash)
	w.conclude(slot, s, p)
}

// draftFill gets an upstream's answer, which is in w.answer as it came, ready to be stored. A TTL of 1 would be over before anybody could use it.
func (w *worker) draftFill(s *inflight.Slot, p *pool) {
	t, a, key := w.active.tier, &w.answer, w.questionOf(s)
	w.drafted = nil
	if a.TTL <= 1 || !w.mayShare(s, p, key) {
		return
	}
	if t.breaker.State() != tier.In || !t.line.Draft(time.Duration(w.now), p.spec.Name, key, a) {
		w.stats.TierFillsDropped++
		return
	}
	w.drafted = t
}

// fillTier stores the draft, if there is one, now that it is known whether the answer may be kept.
func (w *worker) fillTier(keep bool) {
	t := w.drafted
	w.drafted = nil
	switch {
	case t == nil || !keep:
	case t.line.Fill():
		w.stats.TierFills++
	default:
		w.stats.TierFillsDropped++
	}
}
