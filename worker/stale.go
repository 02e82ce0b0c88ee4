package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
)

// stale puts the cached answer to key into w.answer though its TTL has passed, if the pool allows that and it is not too old, and reports
// whether it did (RFC 8767); otherwise w.answer stays what it was.
func (w *worker) stale(hash uint64, key []byte, p *pool) bool {
	return p.spec.WhenDown == Stale && w.outdated(hash, key, p)
}

// outdated is stale for whoever is to have such answers of any pool.
func (w *worker) outdated(hash uint64, key []byte, p *pool) bool {
	if !w.keeps(p, key) {
		return false
	}
	var old wire.Answer
	age, state := w.lookUp(hash, key, &old)
	if state == cache.Miss {
		age, state = w.staleShared(hash, key, &old)
	}
	if state != cache.Expired || !w.allowStale(&old, age, p, wire.KeyName(key)) {
		return false
	}
	w.answer = old
	return true
}

// staleFor is stale for the clients of a slot, if there are any. Where a rule wants nothing from the cache they get nothing.
func (w *worker) staleFor(s *inflight.Slot, p *pool) bool {
	return s.WaiterCount != 0 && s.Passing == 0 && w.stale(s.Hash, s.KeyBytes(), p)
}

// allowStale turns a, which the cache has held for name for age seconds and whose TTL has passed, into a stale answer, unless it is too old
// or the name is one of those that are never served stale.
func (w *worker) allowStale(a *wire.Answer, age uint32, p *pool, name []byte) bool {
	if age-a.TTL > w.active.staleMax {
		return false
	}
	if p.neverStale != nil {
		if _, never := p.neverStale.Lookup(name); never {
			return false
		}
	}
	a.Stale, a.Extended = staleTTL, wire.EDEStaleAnswer
	if a.RCode == wire.RCodeNXDomain {
		a.Extended = wire.EDEStaleNXDomain
	}
	p.stats.Stale++
	return true
}

// staleAt returns when the clients of a slot get an older answer if there is one, in ns; 0: not before the slot has failed (RFC 8767 §5, client
// response timer).
func (p *pool) staleAt(s *inflight.Slot) int64 {
	if s.StaleDone || p.spec.WhenDown != Stale || p.spec.StaleAfter == 0 {
		return 0
	}
	return s.Started + int64(p.spec.StaleAfter)
}

// relieve answers the clients of a slot with an older answer, if there is one. The slot goes on, to refresh the cache.
func (w *worker) relieve(slot uint32, s *inflight.Slot, p *pool) {
	s.StaleDone = true
	if w.staleFor(s, p) {
		w.deliver(s, slot, &w.answer, 0, 0)
		w.table.DropWaiters(slot)
	}
}

// relieved reports whether an exchange is under way whose clients have had an older answer already.
func (w *worker) relieved(l *lookup) bool {
	slot, ok := w.table.Find(l.hash, l.key)
	return ok && w.table.At(slot).StaleDone
}
