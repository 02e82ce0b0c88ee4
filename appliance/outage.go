package appliance

import "secure-dns-proxy/appliance/telemetry"

// poolWatch is what is known of one pool: its upstreams, and whether their common outage was logged.
type poolWatch struct {
	name  string
	wards []*ward
	out   bool
}

// up counts the upstreams that are in use.
func (p *poolWatch) up() int {
	n := 0
	for _, ward := range p.wards {
		if ward.state.Status().InUse() {
			n++
		}
	}
	return n
}

// gather sorts the wards of entries, which follow each other as in w.wards, by pool. A pool that stays keeps what was logged of it. mu is
// held.
func (w *watch) gather(entries []entry) {
	before := w.pools
	w.pools = nil
	next := 0
	for i := range entries {
		for range entries[i].endpoints {
			for _, name := range entries[i].upstream.Pools {
				p := w.pool(name, before)
				p.wards = append(p.wards, w.wards[next])
			}
			next++
		}
	}
}

// pool returns the pool of that name, a new one with the memory of the one before if need be.
func (w *watch) pool(name string, before []*poolWatch) *poolWatch {
	for _, p := range w.pools {
		if p.name == name {
			return p
		}
	}
	p := &poolWatch{name: name}
	for _, old := range before {
		if old.name == name {
			p.out = old.out
		}
	}
	w.pools = append(w.pools, p)
	return p
}

// readPools logs which pools have lost their last upstream, and which have one again. mu is held.
func (w *watch) readPools() {
	for _, p := range w.pools {
		up := p.up()
		switch {
		case up == 0 && !p.out:
			w.log.Error("no upstream of the pool works: its queries fare as when_down says", "pool", p.name, "upstreams", len(p.wards))
		case up > 0 && p.out:
			w.log.Info("the pool has a working upstream again", "pool", p.name, "upstreams", len(p.wards), "up", up)
		}
		p.out = up == 0
	}
}

// poolsUp is for the metrics.
func (w *watch) poolsUp() []telemetry.PoolUpstreams {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []telemetry.PoolUpstreams
	for _, p := range w.pools {
		list = append(list, telemetry.PoolUpstreams{Pool: p.name, All: len(p.wards), Up: p.up()})
	}
	return list
}
