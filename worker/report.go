package worker

import (
	"maps"
	"slices"

	"secure-dns-proxy/transport"
)

// UpstreamReport is what is known of one upstream: the figures of all workers, those of its lanes, and its health.
type UpstreamReport struct {
	Endpoint *transport.Endpoint // nil when only figures of removed upstreams of this name are left
	Name     string
	Stats    UpstreamStats

	Dials, DialErrors, Resumed, Dead uint64
	Retired                          [transport.RetirementCount]uint64
	FastOpened                       uint64
	Connections                      uint64 // gauge
	BytesSent, BytesReceived         uint64

	// See transport.Counters.
	EarlyAccepted, EarlyRejected, Stalled uint64 // quic only

	// https only.
	HTTPStatus    [transport.HTTPClasses]uint64
	OpenHTTP3     uint64 // gauge
	HTTP3Failures uint64
}

// PoolReport is what is known of one pool: the figures of all workers.
type PoolReport struct {
	Name  string
	Stats PoolStats
}

// Pools returns a report for every pool that there was since the start, by name.
func (g *Group) Pools() []PoolReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []PoolReport
	for _, name := range slices.Sorted(maps.Keys(g.pools)) {
		r := PoolReport{Name: name}
		for _, state := range g.pools[name] {
			addTo(&state.public, &r.Stats, poolStatsWords)
		}
		list = append(list, r)
	}
	return list
}

// Stats returns the sum over all workers. Figures are at most publishInterval old, and exact when the workers are idle.
func (g *Group) Stats() Stats {
	var sum Stats
	for _, w := range g.workers {
		if w != nil {
			addTo(&w.public, &sum, statsWords)
		}
	}
	return sum
}

// Upstreams returns a report for every upstream of the current snapshot, in its order, followed by removed ones whose figures would
// otherwise vanish. Endpoints of the same name share one report.
func (g *Group) Upstreams() []UpstreamReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []UpstreamReport
	place := make(map[string]int)
	report := func(name string) *UpstreamReport {
		i, ok := place[name]
		if !ok {
			i = len(list)
			place[name] = i
			list = append(list, UpstreamReport{Name: name})
		}
		return &list[i]
	}
	for _, m := range g.members {
		r := report(m.endpoint.Name)
		r.Endpoint = m.endpoint
		m.addTo(r)
	}
	for _, m := range g.leaving {
		m.addTo(report(m.endpoint.Name))
	}
	for name, past := range g.past {
		past.addTo(report(name))
	}
	return list
}

// addTo adds the figures of a member.
func (m *member) addTo(sum *UpstreamReport) {
	for _, u := range m.perCore {
		addTo(&u.public, &sum.Stats, upstreamStatsWords)
		lane := u.lane.Stats()
		sum.Dials += lane.Dials
		sum.DialErrors += lane.DialErrors
		sum.Resumed += lane.Resumed
		sum.Dead += lane.Dead
		for i, n := range lane.Retired {
			sum.Retired[i] += n
		}
		sum.FastOpened += lane.FastOpened
		sum.Connections += uint64(max(lane.Open, 0))
		sum.BytesSent += lane.BytesSent
		sum.BytesReceived += lane.BytesReceived
		sum.OpenHTTP3 += uint64(max(lane.OpenHTTP3, 0))
		sum.addHTTP(&lane.HTTPStatus, lane.HTTP3Failures)
		sum.addQUIC(lane.EarlyAccepted, lane.EarlyRejected, lane.Stalled)
	}
}

// addHTTP adds what only https upstreams count.
func (r *UpstreamReport) addHTTP(status *[transport.HTTPClasses]uint64, failures uint64) {
	for class, n := range status {
		r.HTTPStatus[class] += n
	}
	r.HTTP3Failures += failures
}

// addQUIC adds what only quic upstreams count.
func (r *UpstreamReport) addQUIC(accepted, rejected, stalled uint64) {
	r.EarlyAccepted += accepted
	r.EarlyRejected += rejected
	r.Stalled += stalled
}

// addTo adds the kept figures of closed members.
func (r *UpstreamReport) addTo(sum *UpstreamReport) {
	from := published[UpstreamStats]{shared: r.Stats}
	addTo(&from, &sum.Stats, upstreamStatsWords)
	sum.Dials += r.Dials
	sum.DialErrors += r.DialErrors
	sum.Resumed += r.Resumed
	sum.Dead += r.Dead
	for i, n := range r.Retired {
		sum.Retired[i] += n
	}
	sum.FastOpened += r.FastOpened
	sum.BytesSent += r.BytesSent
	sum.BytesReceived += r.BytesReceived
	sum.addHTTP(&r.HTTPStatus, r.HTTP3Failures)
	sum.addQUIC(r.EarlyAccepted, r.EarlyRejected, r.Stalled)
}
