package worker

import (
	"bytes"
	"fmt"
	"slices"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/route"
)

// TTLBounds is what TTLs are brought within, in seconds.
type TTLBounds struct {
	Min, Max                 uint32
	NegativeMin, NegativeMax uint32 // NXDOMAIN and NODATA; Max is theirs as well
}

func (b *TTLBounds) validate() error {
	switch {
	case b.Min > b.Max:
		return fmt.Errorf("minimum TTL %d is above the maximum %d", b.Min, b.Max)
	case b.NegativeMin > b.NegativeMax:
		return fmt.Errorf("minimum negative TTL %d is above the maximum %d", b.NegativeMin, b.NegativeMax)
	}
	return nil
}

// ttls returns the bounds of a pool.
func (s *Snapshot) ttls(p *Pool) TTLBounds {
	if p.TTLs != nil {
		return *p.TTLs
	}
	return TTLBounds{s.TTLMin, s.TTLMax, s.NegativeTTLMin, s.NegativeTTLMax}
}

// keeps reports whether answers of p to the question of key, and its failures, are kept at all. A worker's own cache
// is looked into all the same: there is nothing of them.
func (w *worker) keeps(p *pool, key []byte) bool {
	return w.cache != nil && !p.spec.NoCache && !w.neverKept(key)
}

// neverKept reports whether key is of a name that is not to be kept. What others may have of it, from before that was so or because they
// do not know, is not to be taken over either.
func (w *worker) neverKept(key []byte) bool {
	if w.active.neverKept == nil {
		return false
	}
	_, never := w.active.neverKept.Lookup(wire.KeyName(key))
	return never
}

// never is the table of the names that are not kept. It stays the same one while they do, so that workers see when it changes.
type never struct {
	names [][]byte
	table *route.Table // nil: there are none
}

// set: names are validated.
func (n *never) set(names [][]byte) {
	if !slices.EqualFunc(n.names, names, bytes.Equal) {
		n.names = names
		n.table, _ = suffixTable(names)
	}
}

// forgetNever removes what has been kept of names that are not to be kept any more.
func (w *worker) forgetNever(names *route.Table) {
	if names != nil && names != w.active.neverKept && w.cache != nil && w.cache.Stats().Entries != 0 {
		step := flushing(cache.Match{In: names}, new(Flushed))
		step(w) // at once: when the reload is done, none of them is found any more
		w.chores = append(w.chores, &errand{step: step})
	}
}
