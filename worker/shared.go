package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
)

// common is a worker's part in what the workers of its node have in common. table is nil where there is no such thing.
type common struct {
	node  *node
	place int // of this worker in node
	table *shared.Table
	copy  *shared.Copy // where answers are copied to and from; its Answer lasts until the table is used again
	lent  int          // deliveries under way, whose answer may be in copy or in the shard: neither may change
}

// setCommon applies the command's part of it.
func (w *worker) setCommon(c *command) {
	if c.node != nil && w.common.node == nil {
		w.common.node, w.common.place, w.common.copy = c.node, c.node.placeOf(w.index), new(shared.Copy)
	}
	w.common.table = c.table
	if w.cache == nil {
		w.common.table = nil // no memory for the worker's own: then it does without any
	}
	w.stats.SharedBytes = 0
	if t := w.common.table; t != nil && w.common.place == 0 {
		w.stats.SharedBytes = uint64(t.Limit()) // once for all
	}
}

// fromShared answers a query that this worker's shard has no fresh answer to from what another worker has learned, and reports whether it did.
func (w *worker) fromShared(l *lookup, from *origin) bool {
	if w.common.table == nil {
		return false
	}
	var age uint32
	var ok bool
	if l.tailored.is {
		age, ok = w.fetchTailored(l)
	} else {
		age, ok = w.fetchShared(l.hash, l.key, 0)
	}
	if !ok {
		w.stats.SharedMisses++
		return false
	}
	w.hits++
	w.stats.SharedHits++
	w.answer = w.common.copy.Answer
	w.give(l, age, from)
	return true
}

// fetchShared takes a fresh answer to key over into this worker's shard, with its age, if another worker has stored one, not before the second
// notBefore. It is then w.common.copy's.
func (w *worker) fetchShared(hash uint64, key []byte, notBefore uint32) (age uint32, ok bool) {
	c := &w.common
	if c.table == nil || c.lent != 0 || w.neverKept(key) {
		return 0, false
	}
	now := w.seconds()
	age, state := c.table.Get(hash, key, now, c.copy)
	switch state {
	case shared.Fresh:
		if now-age < notBefore {
			return 0, false
		}
		w.cache.PutAged(hash, key, &c.copy.Answer, c.copy.Answer.TTL, age, now)
		return age, true
	case shared.Busy:
		w.stats.SharedBusy++
	case shared.Miss, shared.Expired:
	}
	return 0, false
}

// renewed takes over an answer that another worker has learned since this one's, which is age seconds old, was, and reports whether there is one.
func (w *worker) renewed(hash uint64, key []byte, age uint32) bool {
	_, ok := w.fetchShared(hash, key, w.seconds()-age+1)
	return ok
}

// staleShared puts an answer that has been kept for too long into old, if another worker had one.
func (w *worker) staleShared(hash uint64, key []byte, old *wire.Answer) (age uint32, state cache.State) {
	c := &w.common
	if c.table == nil || c.lent != 0 {
		return 0, cache.Miss
	}
	age, found := c.table.Get(hash, key, w.seconds(), c.copy)
	if found != shared.Expired {
		return 0, cache.Miss
	}
	*old = c.copy.Answer
	return age, cache.Expired
}

// share stores w.answer, which this worker has just learned, for the others, and reports whether they can find it.
func (w *worker) share(hash uint64, key []byte) shared.Result {
	c := &w.common
	switch {
	case c.table == nil:
		return shared.TooLarge
	case c.lent != 0:
		return shared.Crowded
	}
	result := c.table.Put(hash, key, &w.answer, w.answer.TTL, w.seconds(), c.copy)
	switch result {
	case shared.Stored, shared.Replaced:
		w.stats.SharedInserts++
	case shared.Evicted:
		w.stats.SharedInserts++
		w.stats.SharedEvictions++
	case shared.Crowded, shared.TooLarge:
		w.stats.SharedRefused++
	}
	return result
}
