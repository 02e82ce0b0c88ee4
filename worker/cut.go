package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
)

// If a name does not exist, nothing below it does (RFC 8020). Where that is switched on, a query that the cache has no answer to is answered from the
// NXDOMAIN of a name above it, or of the same name for another type (RFC 2308 §5). Clients that ask for DNSSEC are not: the proof in that answer is about the other name.

// deny notes that w.answer, from upstream, says that the name of a slot does not exist. With CNAMEs it says so of another name.
func (w *worker) deny(s *inflight.Slot) {
	key := s.KeyBytes()
	a := &w.answer
	if a.RCode != wire.RCodeNXDomain || a.AN != 0 || a.TTL == 0 || s.Step != stepOwn || !cuttable(key) {
		return
	}
	name := wire.KeyName(key)
	now := w.seconds()
	hash := wire.Hash(w.seed, wire.DeriveKey(&w.derived, key, name, 0))
	w.denials.Add(hash, wire.KeyType(key), labelsOf(name), now, now+min(a.TTL, cache.TTLMax))
}

// cuttable reports whether key is of a question whose NXDOMAIN is good for other names, or that can be answered by one.
func cuttable(key []byte) bool {
	return wire.KeyFlags(key)&wire.KeyDO == 0 && len(wire.KeyVariant(key)) == 0
}

// labelsOf counts the labels of a name.
func labelsOf(name []byte) (n int) {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		n++
	}
	return n
}

// below answers a query for a name that is known, by a question of another type, not to exist, or is below one, and reports whether it did.
func (w *worker) below(l *lookup, from *origin) bool {
	if !cuttable(l.key) || !w.keeps(l.pool, l.key) {
		return false
	}
	name := l.name()
	for probes := 0; probes < cutProbesMax && name[0] != 0; probes++ { // the root exists
		if w.denied(l, name, from) {
			return true
		}
		name = name[1+int(name[0]):]
	}
	return false
}

// denied answers a query if the cache holds that name, which is the one that was asked for or above it, does not exist.
func (w *worker) denied(l *lookup, name []byte, from *origin) bool {
	now := w.seconds()
	qtype, found := w.denials.Find(wire.Hash(w.seed, wire.DeriveKey(&w.derived, l.key, name, 0)), now)
	if !found {
		return false
	}
	key := wire.DeriveKey(&w.derived, l.key, name, qtype)
	var a wire.Answer
	age, state := w.cache.Get(wire.Hash(w.seed, key), key, now, &a)
	if state != cache.Fresh || a.RCode != wire.RCodeNXDomain || a.AN != 0 || a.Extended != 0 {
		return false // something else has taken its place
	}
	w.made.Begin(l.name(), a.Flags&^(wire.FlagAA|wire.FlagAD), a.RCode)
	for i := range int(a.NS) {
		if a.Record(i).Type == wire.TypeSOA {
			w.made.Copy(wire.Authority, &a, wire.KeyQuestion(key), i, a.TTLOf(i)-min(a.TTLOf(i), age))
		}
	}
	answer, ok := w.made.Done()
	if !ok {
		return false
	}
	answer.Extended = wire.EDESynthesized
	w.stats.Scrubs.Cut++
	w.tellClient(answer, 0, l.later, l.key, l.hash, from)
	return true
}
