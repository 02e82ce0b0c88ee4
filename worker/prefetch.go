package worker

import "secure-dns-proxy/transport/wire"

// A popular answer is asked for again shortly before its TTL ends, when a client is given it: that client need not wait, and the next one
// finds a fresh answer. It is an exchange like another, in a slot without clients.

// nearEnd reports whether an answer that has been held for age seconds is in the part of its TTL in which it is refreshed.
func (w *worker) nearEnd(a *wire.Answer, age uint32) bool {
	return uint64(a.TTL-age)*100 <= uint64(a.TTL)*uint64(w.active.prefetchPercent)
}

// prefetch asks for the answer of that age that a client has just been given, if it is popular, not under way or failing, and if there is room: clients who
// wait come first.
func (w *worker) prefetch(l *lookup, age uint32) {
	hash, key := l.hash, l.key
	if l.tailored.is {
		hash, key = l.tailored.found, w.found
	}
	if w.draining || !w.cache.Popular(hash, key) || 2*w.table.Len() >= w.cfg.Slots {
		return
	}
	if _, under := w.table.Find(l.hash, l.key); under {
		return
	}
	if _, held := w.failures.Held(l.hash, w.now); held {
		return
	}
	if w.renewed(hash, key, age) {
		return
	}
	if !w.prefetches.Spend(w.now, 0, w.active.prefetchRate) {
		w.stats.PrefetchesDenied++
		return
	}
	slot, ok := w.table.Open(l.hash, l.key)
	if !ok {
		w.prefetches.Return()
		return
	}
	w.table.At(slot).NotBefore = w.seconds() - age + 1
	w.start(slot, l)
	if w.table.At(slot).Following {
		w.prefetches.Return() // another worker does it for this one
		return
	}
	w.stats.Prefetches++
}
