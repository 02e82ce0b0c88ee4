package worker

import "secure-dns-proxy/worker/cache"

// stale fills w.answer with the cached answer to key though its TTL has passed, unless it is too old, and reports whether it could
// (RFC 8767).
func (w *worker) stale(hash uint64, key []byte, p *pool) bool {
	if w.cache == nil || p.spec.NoCache {
		return false
	}
	age, state := w.cache.Get(hash, key, w.seconds(), &w.answer)
	return state == cache.Expired && w.allowStale(age, p)
}

// allowStale turns w.answer, which the cache has held for age seconds and whose TTL has passed, into a stale one, unless it is too old.
func (w *worker) allowStale(age uint32, p *pool) bool {
	if age-w.answer.TTL > w.active.staleMax {
		return false
	}
	w.answer.Stale = staleTTL
	p.stats.Stale++
	return true
}
