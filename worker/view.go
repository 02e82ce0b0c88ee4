package worker

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
)

// View is a group of clients with what is theirs: a tenant.
type View struct {
	policy.View

	OwnCache       bool  // its answers are kept apart: no other clients get them, and its clients get no others'
	CacheBytes     int64 // OwnCache: of the cache for it alone; 0: it has its answers among those of others
	MaxOutstanding int   // questions that its clients have under way, all workers together; 0: no cap. Full: shed

	Limits    *Limits         // on what each of its clients may ask, in place of Snapshot.Limits; of replies, and who is exempt, those hold; nil: in all
	Shed      *admission.Shed // what its clients get where there is no room; nil: as Admission says
	ShedStale ShedStale
}

// ShedStale says whether clients of a view get an answer past its TTL where there is no room for their query.
type ShedStale uint8

const (
	ShedStalePool   ShedStale = iota // where the pool serves such answers (WhenDown)
	ShedStaleAlways                  // in any pool
	ShedStaleNever
	shedStales
)

// ShedStaleNames are the names used in the configuration, by value.
var ShedStaleNames = [shedStales]string{"pool", "always", "never"}

// view is a View as one worker sees it in one snapshot.
type view struct {
	*viewState
	spec        *View
	number      int // in the policy
	outstanding int // cap on viewState.under, this worker's share
}

// viewState is what stays of a view through reloads, by its name. The Group makes it, the worker alone uses it.
type viewState struct {
	_      [128]byte
	tag    uint8 // 1 and more, in slots and, as their partition, in keys of the cache; the same for all workers
	under  int   // slots of this worker that clients of the view have opened
	stats  ViewStats
	public published[ViewStats]
	_      [128]byte
}

// ViewStats are the figures of one view, of one worker or summed over all. 64-bit words only, as in Stats.
type ViewStats struct {
	QueriesUDP, QueriesTCP uint64
	Hits                   uint64 // answered from the cache
	Misses                 uint64 // opened a slot
	Limited                uint64 // held back by a limit on their source
	Full                   uint64 // not asked because MaxOutstanding was reached; in Shed, too, unless there was an answer past its TTL
	Shed                   uint64 // turned down because there was no room
	InFlight               uint64 // gauge: slots open
	CacheBytes             uint64 // gauge: of CacheBytes in use, in the workers' own caches
}

// ViewReport is what is known of one view: the figures of all workers.
type ViewReport struct {
	Name  string
	Stats ViewStats
}

// Views returns a report for every view that there was since the start, by name.
func (g *Group) Views() []ViewReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []ViewReport
	for _, name := range slices.Sorted(maps.Keys(g.views)) {
		r := ViewReport{Name: name}
		for _, state := range g.views[name] {
			addTo(&state.public, &r.Stats, viewStatsWords)
		}
		list = append(list, r)
	}
	return list
}

// tagViews gives every view that is new a tag and figures of its own. Tags are never used again: the cache holds keys with them.
func (g *Group) tagViews(snap *Snapshot) error {
	for i := range snap.Views {
		name := snap.Views[i].Name
		if g.views[name] != nil {
			continue
		}
		tag := 1 + len(g.views)
		if tag == viewTags {
			return fmt.Errorf("view %q: %d views have had names since the start, more need a restart", name, tag-1)
		}
		for range g.cfg.Workers {
			g.views[name] = append(g.views[name], &viewState{tag: uint8(tag)})
		}
	}
	return nil
}

// setViews makes the views of a selection.
func (w *worker) setViews(next *selection, c *command) {
	for i, state := range c.views {
		spec := &c.snapshot.Views[i]
		next.views = append(next.views, &view{viewState: state, spec: spec, number: i, outstanding: share(spec.MaxOutstanding, w.cfg.Workers)})
		w.viewStates[state.tag] = state
	}
}

// viewOf returns the view that a client is in; nil: none.
func (w *worker) viewOf(from *origin) *view {
	if w.rules.policy == nil {
		return nil
	}
	if i := w.rules.policy.ViewOf(from.path.Addr().Addr()); i >= 0 {
		return w.active.views[i]
	}
	return nil
}

// assign finds the view of the client of the query in hand, and makes its key one of the view's partition.
func (w *worker) assign(l *lookup, from *origin) {
	if from.view = w.viewOf(from); from.view == nil {
		return
	}
	if v := from.view; v.spec.OwnCache && l.key != nil {
		l.key = wire.AppendPartition(l.key, v.tag)
		l.hash = wire.Hash(w.seed, l.key)
	}
}

// countView counts a query as one of its view.
func (from *origin) countView() {
	switch v := from.view; {
	case v == nil:
	case from.tcp:
		v.stats.QueriesTCP++
	default:
		v.stats.QueriesUDP++
	}
}

// full reports whether the view of a client, if it is in one, has as many questions under way as it may.
func (from *origin) full() bool {
	v := from.view
	if v == nil || v.under < v.outstanding {
		return false
	}
	v.stats.Full++
	return true
}

// charge counts a slot that was opened for a client as one of its view's, until it is free.
func (w *worker) charge(slot uint32, from *origin) {
	if v := from.view; v != nil {
		v.under++
		v.stats.Misses++
		w.table.At(slot).View = v.tag
	}
}

// discharge ends that.
func (w *worker) discharge(s *inflight.Slot) {
	if s.View != 0 {
		w.viewStates[s.View].under--
	}
}

// shedStale reports whether a client gets an answer of p past its TTL where there is no room for its query.
func (from *origin) shedStale(p *pool) bool {
	if v := from.view; v != nil && v.spec.ShedStale != ShedStalePool {
		return v.spec.ShedStale == ShedStaleAlways
	}
	return p.spec.WhenDown == Stale
}

// shedAs is what a client gets there else.
func (w *worker) shedAs(from *origin) admission.Shed {
	if v := from.view; v != nil {
		v.stats.Shed++
		if v.spec.Shed != nil {
			return *v.spec.Shed
		}
	}
	return w.shedding.cfg.Shed
}

// validateViews returns everything that is wrong beside what the rules see, joined.
func (s *Snapshot) validateViews() error {
	var errs []error
	names := map[string]bool{}
	for i := range s.Views {
		v := &s.Views[i]
		if names[v.Name] {
			errs = append(errs, fmt.Errorf("view %q: name stands twice", v.Name))
		}
		names[v.Name] = true
		if v.Limits != nil {
			if err := v.Limits.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("view %q: %w", v.Name, err))
			}
		}
		if v.OwnCache && v.NoCache || v.MaxOutstanding < 0 || v.ShedStale >= shedStales {
			errs = append(errs, fmt.Errorf("view %q: own cache %t without a cache %t, at most %d questions, stale %d", v.Name, v.OwnCache, v.NoCache, v.MaxOutstanding, v.ShedStale))
		}
	}
	return errors.Join(errs...)
}

// policyViews is what the rules have to know of the views.
func (s *Snapshot) policyViews() (list []policy.View) {
	for i := range s.Views {
		list = append(list, s.Views[i].View)
	}
	return list
}
