package worker

import (
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/synth"
)

// A slot whose answer is to be made from the answer to another question asks that in its place (Slot.Step); its key, and with it what the cache and
// later clients see, stays that of its own question.
const (
	stepOwn        = iota // the slot's own question
	stepA                 // A in place of AAAA (RFC 6147 §5.1.6)
	stepReverse           // the reverse name of the IPv4 address in place of the IPv6 address's (RFC 6147 §5.3.1)
	stepInspection        // nobody is asked yet: an inspector looks at the question
	stepAnswer            // nobody is asked any more: it looks at the answer, whose place is in Detail
)

// questionOf returns the key of the question that a slot asks now. It is valid until the next call.
func (w *worker) questionOf(s *inflight.Slot) []byte {
	key := s.KeyBytes()
	switch s.Step {
	case stepA:
		return wire.DeriveKey(&w.derived, key, wire.KeyName(key), wire.TypeA)
	case stepReverse:
		var space [wire.NameBytesMax]byte
		return wire.DeriveKey(&w.derived, key, synth.AppendReverse(space[:0], s.Detail), wire.TypePTR)
	}
	return key
}

// translatable reports whether the answer to the question of key may be made here if it is of type qtype: not in other classes, and not for clients
// that validate by themselves (RFC 6147 §5.5).
func translatable(key []byte, qtype uint16) bool {
	const validates = wire.KeyDO | wire.KeyCD
	return wire.KeyType(key) == qtype && wire.KeyClass(key) == wire.ClassINET && wire.KeyFlags(key)&validates != validates
}

// translate makes the answer of a slot from w.answer, if it is to be made, or lets the slot ask what it can be made from: then it goes on.
func (w *worker) translate(slot uint32, s *inflight.Slot, p *pool, useless bool) (goesOn bool) {
	d, key := w.active.dns64, s.KeyBytes()
	switch {
	case s.Step == stepA:
		w.synthesise(s, p, useless)
	case s.Step == stepReverse:
		w.alias(s, useless)
	case d == nil || !translatable(key, wire.TypeAAAA):
	case d.Of(&w.answer) == synth.A:
		return w.askA(slot, s, p)
	case d.Of(&w.answer) == synth.Filter:
		if a, ok := d.Filtered(w.made, &w.answer, wire.KeyQuestion(key)); ok {
			w.answer = *a
		}
	}
	return false
}

// askA lets a slot that has no AAAA record ask for the A records of the same name, unless the cache knows them. In the end they say the same if
// there are none.
func (w *worker) askA(slot uint32, s *inflight.Slot, p *pool) (goesOn bool) {
	d := w.active.dns64
	most := d.NegativeTTL(&w.answer)
	key := wire.DeriveKey(&w.derived, s.KeyBytes(), wire.KeyName(s.KeyBytes()), wire.TypeA)
	if s.Passing == 0 && w.keepsA(p, key) {
		var known wire.Answer
		if age, state := w.cache.Get(wire.Hash(w.seed, key), key, w.seconds(), &known); state == cache.Fresh {
			if a, ok := d.Synthesise(w.made, &known, wire.KeyQuestion(key), age, most); ok {
				w.answer = *a
				w.stats.Scrubs.Translated++
			}
			return false
		}
	}
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream != inflight.NoUpstream {
			w.giveUp(slot, s, e)
		}
	}
	w.table.Renew(slot) // answers to the first question may yet come
	s.Step, s.Detail = stepA, most
	s.Attempts, s.Tried, s.Useless, s.HedgeAt, s.Hedge, s.Again = 0, [2]uint64{}, [2]uint64{}, 0, 0, false
	w.exchange(slot)
	return true
}

// keepsA reports whether answers to the question of key, which is derived from a slot's, are in the cache of pool p under that key: not with a variant,
// for which the answer's scope would decide.
func (w *worker) keepsA(p *pool, key []byte) bool {
	return w.keeps(p, key) && len(wire.KeyVariant(key)) == 0
}

// synthesise makes w.answer, to the question for A records, the one to the slot's own question. Without A records it says as much of AAAA records.
func (w *worker) synthesise(s *inflight.Slot, p *pool, useless bool) {
	key := w.questionOf(s)
	if judged := w.rules.policy != nil && w.rules.policy.Has(policy.ChainResponse); !useless && w.answer.TTL != 0 && !judged && s.Passing == 0 && w.keepsA(p, key) {
		w.clampTTLs(&w.answer, p)
		w.cache.Put(wire.Hash(w.seed, key), key, &w.answer, w.answer.TTL, w.seconds())
	}
	if w.active.dns64 == nil { // a reload has switched it off meanwhile
		w.spoil(wire.RCodeServFail)
		return
	}
	a, ok := w.active.dns64.Synthesise(w.made, &w.answer, wire.KeyQuestion(key), 0, s.Detail)
	switch {
	case ok:
		w.answer = *a
		w.stats.Scrubs.Translated++
	case a != nil: // longer than a message
		w.spoil(wire.RCodeServFail)
	}
}

// reverse lets a new slot that asks for the name of an address of ours ask for that of the IPv4 address, and reports whether that is known without asking:
// then the slot has ended.
func (w *worker) reverse(slot uint32, s *inflight.Slot) (ended bool) {
	key := s.KeyBytes()
	if !translatable(key, wire.TypePTR) {
		return false
	}
	v4, ok := w.active.dns64.Reverse(wire.KeyName(key))
	if !ok {
		return false
	}
	s.Step, s.Detail = stepReverse, v4
	name := wire.KeyName(w.questionOf(s))
	p := w.poolFor(name)
	s.Pool = p.tag
	if s.Name != 0 {
		s.Name = balance.NameHash(name)
	}
	a := w.active.local.Answer(name, wire.TypePTR, p != w.active.pools[0])
	if a == nil {
		return false
	}
	w.answer = *a
	w.alias(s, false)
	w.conclude(slot, s, p)
	return true
}

// alias makes w.answer, about the reverse name of an IPv4 address, the one to the slot's own question.
func (w *worker) alias(s *inflight.Slot, useless bool) {
	if !useless {
		if a, ok := synth.Alias(w.made, &w.answer, wire.KeyQuestion(w.questionOf(s)), wire.KeyName(s.KeyBytes())); ok {
			w.answer = *a
			w.stats.Scrubs.Reversed++
			return
		}
		w.answer.RCode = wire.RCodeServFail
	}
	w.spoil(w.answer.RCode)
}
