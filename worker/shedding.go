package worker

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
)

// shedding keeps questions from being asked while more come than upstreams, or the worker, can deal with: those of heavy sources and of heavy zones.
// As long as there is room it does nothing but count. Hits and what joins a question under way are not its business.
type shedding struct {
	cfg    admission.Config
	misses *admission.Misses // nil: off
	seed   maphash.Seed
	lookAt int64 // ns: of the next look
	asked  bool  // since the last look
	ended  uint64
	lacked uint64 // questions for which there was no room
	quick  int64  // ns: the shortest exchange since the last look; 0: none
	names  [zonesNamed]zoneName
	list   []admission.Heavy // scratch
	told   bool              // it was reported
	since  int64             // ns
	report atomic.Pointer[Shedding]
}

// zoneName tells an operator which zone a hash stands for.
type zoneName struct {
	hash uint64
	n    uint8
	name [zoneNameMax]byte
}

// Shedding is what a worker knows of an excess of questions that began or ended.
type Shedding struct {
	Worker             int
	Active             bool
	Answered, Admitted float64      // questions/s
	Heavy              []HeavyAsker // the heaviest first, overloadSources at most; none: there is nobody to blame
}

// HeavyAsker is a source, or a zone, of which a share of the questions is not asked.
type HeavyAsker struct {
	Source admission.Source
	Zone   []byte // wire form; nil: it is a source. Empty: a zone whose name is not known any more
	Share  float64
}

// Sheddings returns the last report of every worker that ever had too many questions.
func (g *Group) Sheddings() []*Shedding {
	var list []*Shedding
	for _, w := range g.workers {
		if w == nil {
			continue
		}
		if s := w.shedding.report.Load(); s != nil {
			list = append(list, s)
		}
	}
	return list
}

// setShedding takes over a configuration.
func (w *worker) setShedding(cfg *admission.Config) {
	d := &w.shedding
	d.cfg = *cfg
	switch {
	case !cfg.ShedMisses && d.misses != nil:
		d.misses, w.stats.Shedding = nil, 0
		if d.told {
			w.reportShedding(false)
		}
	case cfg.ShedMisses && d.misses == nil:
		d.misses, d.seed = admission.NewMisses(w.random.Uint64()), maphash.MakeSeed()
	}
}

// admitMiss reports whether a question may be asked, and answers the client if not.
func (w *worker) admitMiss(l *lookup, from *origin) bool {
	d := &w.shedding
	if d.misses == nil {
		return true
	}
	source := admission.SourceOf(from.path)
	if d.cfg.Exempts(source) {
		return true
	}
	d.asked = true
	zone := admission.ZoneOf(l.name())
	hash := maphash.Bytes(d.seed, zone)
	if d.misses.Admit(source, hash, from.tcp || w.asked.proven()) {
		return true
	}
	if n := &d.names[hash%zonesNamed]; n.hash != hash && len(zone) <= zoneNameMax {
		n.hash, n.n = hash, uint8(copy(n.name[:], zone))
	}
	w.stats.ShedHeavy++
	w.shed(l, from, wire.ReasonHeavy)
	return false
}

// shed answers a query that is not asked: from an answer past its TTL where the pool, or the client's view, allows that, else it is turned down.
func (w *worker) shed(l *lookup, from *origin, reason uint16) {
	if !l.passCache && !l.tailored.passed && from.shedStale(l.pool) && w.outdated(l.hash, l.key, l.pool) {
		w.stats.Shed++
		w.tellScope(l)
		w.give(l, 0, from)
		return
	}
	w.turnDown(from, reason)
}

// turnDown tells a client, as the configuration, or that of its view, says, that there is no room for its query.
func (w *worker) turnDown(from *origin, reason uint16) {
	w.stats.Shed++
	switch w.shedAs(from) {
	case admission.ShedDrop:
		if from.tcp {
			w.closeStream(from.conn)
		}
	case admission.ShedTruncate:
		if !from.tcp {
			w.replyTruncated(from, reason)
			return
		}
		w.replyError(from, wire.RCodeServFail, reason)
	case admission.ShedRefuse:
		w.replyError(from, wire.RCodeRefused, reason)
	default:
		w.replyError(from, wire.RCodeServFail, reason)
	}
}

// failLimited ends a slot that no upstream has room for. Views may treat their clients differently.
func (w *worker) failLimited(slot uint32, p *pool) {
	s := w.table.At(slot)
	p.stats.Limited++
	w.shedding.lacked++
	if w.shedding.cfg.Shed == admission.ShedServFail && len(w.active.views) == 0 {
		w.stats.Shed++
		w.fail(slot, p, wire.ReasonLimited)
		return
	}
	w.blame(s, false)
	held := s.WaiterCount != 0 && s.Passing == 0 && w.someStale(p) && w.outdated(s.Hash, s.KeyBytes(), p)
	old := w.answer // where turnDown writes
	if !held {
		w.countOutcome(s, wire.RCodeServFail)
		p.stats.Failed++
	}
	var to origin
	w.common.lent++
	for waiter := w.table.FirstWaiter(slot); waiter != nil; waiter = w.table.NextWaiter(waiter) {
		switch {
		case waiter.Alias && held && p.spec.WhenDown == Stale:
			w.deliverAlias(s, waiter, &old, 0, 0, 0)
		case waiter.Alias:
			w.deliverAlias(s, waiter, nil, 0, wire.RCodeServFail, wire.ReasonLimited)
		case !w.restoreWaiting(s, waiter, &to):
		case held && to.shedStale(p):
			w.stats.Shed++
			w.tellWaiter(s, waiter, &old, 0, &to)
		default:
			w.stats.Failed++
			w.turnDown(&to, wire.ReasonLimited)
		}
	}
	w.common.lent--
	w.free(slot)
}

// someStale reports whether an answer of p past its TTL may be what some client gets where there is no room.
func (w *worker) someStale(p *pool) bool {
	return p.spec.WhenDown == Stale || slices.ContainsFunc(w.active.views, func(v *view) bool { return v.spec.ShedStale == ShedStaleAlways })
}

// lookAtMisses is the part of a turn that is the shedding's.
func (w *worker) lookAtMisses() {
	d := &w.shedding
	if d.misses == nil || w.now < d.lookAt || !d.asked && !d.misses.Shedding() {
		return
	}
	d.lookAt = w.now + int64(admission.MissInterval)
	d.misses.Look(&admission.MissLook{
		Now: w.now, Ended: d.ended, Quickest: d.quick, Limited: d.lacked, Occupancy: float64(w.table.Len()) / float64(w.cfg.Slots), Overloaded: w.stats.Overloaded != 0,
	})
	d.asked, d.ended, d.lacked, d.quick = false, 0, 0, 0
	active := d.misses.Shedding()
	switch {
	case active && w.stats.Shedding == 0:
		w.stats.Shedding, d.since = 1, w.now
	case active && !d.told && w.now-d.since >= int64(sheddingKnown):
		w.reportShedding(true)
	case !active:
		w.stats.Shedding = 0
		if d.told {
			w.reportShedding(false)
		}
	}
}

// reportShedding leaves a report for whoever writes the log.
func (w *worker) reportShedding(active bool) {
	d := &w.shedding
	d.told = active
	s := &Shedding{Worker: w.index, Active: active}
	if active {
		s.Answered, s.Admitted = d.misses.Rates()
		d.list = d.misses.AppendHeavy(d.list[:0])
		slices.SortFunc(d.list, func(a, b admission.Heavy) int { return int(b.Seen) - int(a.Seen) })
		for _, h := range d.list[:min(len(d.list), overloadSources)] {
			s.Heavy = append(s.Heavy, HeavyAsker{Source: h.Source, Zone: d.nameOf(&h), Share: h.Share})
		}
	}
	d.report.Store(s)
}

// nameOf returns the name of a heavy zone; nil: it is a source.
func (d *shedding) nameOf(h *admission.Heavy) []byte {
	if !h.IsZone {
		return nil
	}
	if n := &d.names[h.Zone%zonesNamed]; n.hash == h.Zone {
		return slices.Clone(n.name[:n.n])
	}
	return []byte{}
}
