package worker

import (
	"sync/atomic"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/inflight"
)

// blocks is what a worker has to do with dynamic blocks: it counts what they are decided on, and carries them out.
type blocks struct {
	census *census.Counter             // nil: nothing is counted
	table  *block.Table                // of this turn; nil: nobody is blocked
	next   atomic.Pointer[block.Table] // the judge's
	_      [64]byte
}

// follow takes over the table that holds now.
func (b *blocks) follow(now int64) {
	b.table = b.next.Load()
	if b.census != nil {
		b.census.HandOver(now)
	}
}

// countQuery counts a query of a source. A malformed one counts as well, as one of no type: its answer has an RCODE to be blocked for.
func (w *worker) countQuery(l *lookup, from *origin) {
	qtype := l.query.Type
	if l.fault != wire.FaultNone {
		qtype = 0
	}
	w.blocks.census.Query(admission.SourceOf(from.path), qtype)
}

// countOutcome counts what a question came to.
func (w *worker) countOutcome(s *inflight.Slot, rcode uint16) {
	if w.blocks.census != nil {
		w.blocks.census.Outcome(wire.KeyName(s.KeyBytes()), rcode)
	}
}

// turnAway answers a query of a source that is blocked, or does not, and reports whether the source is blocked.
func (w *worker) turnAway(from *origin) bool {
	e := w.blocks.table.Source(from.path.Addr().Addr())
	return e != nil && w.carryOut(e, from, wire.EDEProhibited)
}

// turnAwayName does the same for a query that the cache cannot answer, by its name.
func (w *worker) turnAwayName(l *lookup, from *origin) bool {
	e := w.blocks.table.Name(wire.KeyName(l.key))
	return e != nil && w.carryOut(e, from, wire.EDEBlocked)
}

func (w *worker) carryOut(e *block.Entry, from *origin, ede uint16) bool {
	if e.Action == block.Truncate && from.tcp || !e.Blocks(w.index, w.now) {
		return false
	}
	w.stats.Blocked[e.Action]++
	switch {
	case e.Action == block.Refuse:
		w.replyError(from, wire.RCodeRefused, ede)
	case e.Action == block.Truncate:
		w.replyTruncated(from, ede)
	case from.tcp: // its client would wait for an answer
		w.closeStream(from.conn)
	}
	return true
}

// Blocks puts table in the place of the last one: from their next turns on, the workers go by it. Nil: nobody is blocked.
func (g *Group) Blocks(table *block.Table) {
	for _, w := range g.workers {
		w.blocks.next.Store(table)
	}
}

// Tallies calls yield for every tally of a worker that is full, which is then emptied, with the types that it counts.
func (g *Group) Tallies(yield func(*census.Tally, []uint16)) {
	g.mu.Lock()
	counters := g.census
	g.mu.Unlock()
	for _, c := range counters {
		if t := c.Take(); t != nil {
			yield(t, c.Types())
			c.Return(t)
		}
	}
}

// counters returns the counters for a snapshot that was validated: those that there are, if they will do.
func (g *Group) counters(snap *Snapshot) []*census.Counter {
	if snap.Census == nil {
		return nil
	}
	if len(g.census) != 0 && g.census[0].Counts(snap.Census) {
		return g.census
	}
	var list []*census.Counter
	for range g.cfg.Workers {
		list = append(list, census.New(*snap.Census))
	}
	return list
}
