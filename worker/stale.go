package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
)

// stale puts the cached answer to key into w.answer though its TTL has passed, if the pool allows that and it is not too old, and reports
// whether it did (RFC 8767); otherwise w.answer stays what it was.
func (w *worker) stale(hash uint64, key []byte, p *pool) bool {
	if w.cache == nil || p.spec.NoCache || p.spec.WhenDown != Stale {
		return false
	}
	var old wire.Answer
	age, state := w.cache.Get(hash, key, w.seconds(), &old)
	if state != cache.Expired || !w.allowStale(&old, age, p) {
		return false
	}
	w.answer = old
	return true
}

// allowStale turns a, which the cache has held for age seconds and whose TTL has passed, into a stale answer, unless it is too old.
func (w *worker) allowStale(a *wire.Answer, age uint32, p *pool) bool {
	if age-a.TTL > w.active.staleMax {
		return false
	}
	a.Stale, a.Extended = staleTTL, wire.EDEStaleAnswer
	if a.RCode == wire.RCodeNXDomain {
		a.Extended = wire.EDEStaleNXDomain
	}
	p.stats.Stale++
	return true
}
