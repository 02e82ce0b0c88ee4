package worker

import (
	"math/rand/v2"

	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/route"
)

// pool is a set of upstreams as one worker sees it in one snapshot.
type pool struct {
	_ [128]byte // the chooser is written for every miss: no other worker's line
	*poolState
	spec        *Pool
	members     []*upstream  // in the order of spec.Members
	rate        pace         // of exchanges, this worker's share
	outstanding int          // cap on poolState.under, this worker's share
	neverStale  *route.Table // nil: none
	ttls        TTLBounds
	tells       bool // upstreams are told of clients' networks, by what spec says or by a rule: what they say without is not good for everybody
	chooser     balance.Chooser
	_           [128]byte
}

// poolState is what stays of a pool through reloads, by its name. The Group makes it, the worker alone uses it.
type poolState struct {
	_      [128]byte
	tag    uint8 // in keys of the cache and in slots; the same for all workers
	under  int   // exchanges of this worker under way
	full   int64 // ns: when the bucket of pool.rate is
	retry  balance.Budget
	hedge  balance.Budget
	stats  PoolStats
	public published[PoolStats]
	_      [128]byte
}

// poolOf returns the pool of a slot; the default pool stands in for one that a reload has removed meanwhile.
func (w *worker) poolOf(s *inflight.Slot) *pool {
	if p := w.active.byTag[s.Pool]; p != nil {
		return p
	}
	return w.active.pools[0]
}

// poolFor returns the pool that a name belongs to; name is in wire form and lower case.
func (w *worker) poolFor(name []byte) *pool {
	if w.active.router != nil {
		if i, ok := w.active.router.Lookup(name); ok {
			return w.active.pools[i]
		}
	}
	return w.active.pools[0]
}

// share is one worker's part of a cap over all workers; 0 stays without a cap.
func share(total, workers int) int {
	if total == 0 {
		return 1 << 30
	}
	return max(1, total/workers)
}

// newPool makes what one worker uses of a pool until the next reload.
func newPool(spec *Pool, state *poolState, members []*upstream, workers int, random *rand.Rand) *pool {
	neverStale, _ := suffixTable(spec.NeverStale) // validated
	return &pool{
		neverStale: neverStale,
		poolState:  state, spec: spec, members: members, outstanding: share(spec.MaxOutstanding, workers), rate: paceOf(spec.MaxRate, workers),
		chooser: *balance.NewChooser(spec.Policy, spec.LoadPercent, random),
	}
}

// verdict is what came of a search for an upstream.
type verdict uint8

const (
	chosen  verdict = iota
	noneUp          // those that are left are down, or there are none left
	limited         // those that are left have as much under way as they may
)

// pick chooses the upstream of p to ask next for a slot: one that was not asked for it yet, is healthy, and is below its limits. With none
// healthy it is, if the pool says so, one that is not.
func (w *worker) pick(s *inflight.Slot, p *pool) (u *upstream, v verdict) {
	list := w.candidates[:len(p.members)]
	full := p.under >= p.outstanding || !p.rate.ready(p.full, w.now)
	v = noneUp
	for i, u := range p.members {
		c := &list[i]
		*c = balance.Candidate{
			ID: u.id, LatencyNS: u.latency.Expected(w.now), Share: u.health.Share(w.now), Weight: u.weight,
			Outstanding: uint32(u.outstanding),
		}
		if u.tried(s) || c.Share == 0 {
			continue
		}
		if full || !w.room(u, p) {
			v = limited
			continue
		}
		c.Usable = u.health.Eligible(w.now)
	}
	for i := p.chooser.Pick(list, s.Name); i >= 0; i = p.chooser.Pick(list, s.Name) {
		if p.members[i].health.Allow(w.now) {
			return p.members[i], chosen
		}
		list[i].Usable = false // another worker took its trial
	}
	if v == limited || p.spec.WhenDown == ServFail {
		return nil, v
	}
	return w.pickAnyway(s, p, list)
}

// pickAnyway chooses among those that are down.
func (w *worker) pickAnyway(s *inflight.Slot, p *pool, list []balance.Candidate) (u *upstream, v verdict) {
	for i, u := range p.members {
		list[i].Usable = !u.tried(s) && list[i].Share != 0 // what had no room has been found above
	}
	if i := p.chooser.Pick(list, s.Name); i >= 0 {
		return p.members[i], chosen
	}
	return nil, noneUp
}

// room reports whether u may get one more exchange, of p.
func (w *worker) room(u *upstream, p *pool) bool {
	scheme := u.endpoint.Scheme
	return u.outstanding < u.most && (!p.spec.Adaptive || u.outstanding < u.limit.Value()) &&
		w.under[scheme] < w.active.transports[scheme]
}

// tried reports whether u was asked for the slot, or is being asked.
func (u *upstream) tried(s *inflight.Slot) bool {
	return s.Tried[u.index>>6]&(1<<(u.index&63)) != 0 || attemptOf(s, u) != nil
}

// healthy reports whether any upstream of p is worth asking.
func (w *worker) healthy(p *pool) bool {
	for _, u := range p.members {
		if u.health.Eligible(w.now) {
			return true
		}
	}
	return false
}
