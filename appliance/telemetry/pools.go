package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker"
)

// PoolUpstreams is how many upstreams a pool has, and how many of them are in use.
type PoolUpstreams struct {
	Pool    string
	All, Up int
}

// AddPoolUpstreams puts them on the page, for the pools that list names.
func AddPoolUpstreams(set *metrics.Set, list func() []PoolUpstreams) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_pool_upstreams", "gauge", "Upstreams of the pool that are known, and of them those that queries are sent to in the ordinary way, by state.")
		for _, u := range list() {
			p.gauge(uint64(u.All), "pool", u.Pool, "state", "known")
			p.gauge(uint64(u.Up), "pool", u.Pool, "state", "up")
		}
		p.writeTo(w)
	})
}

// pools writes all series of a family together, as the format asks for.
func (p *page) pools(reports []worker.PoolReport) {
	for _, f := range poolFamilies {
		p.begin("sdp_pool_"+f.name, f.kind, f.help)
		for i := range reports {
			r := &reports[i]
			if f.kind == "gauge" {
				p.gauge(f.value(&r.Stats), "pool", r.Name)
			} else {
				p.counter(f.value(&r.Stats), "pool", r.Name)
			}
		}
	}
}

// poolFamilies without the sdp_pool_ in front of their names.
var poolFamilies = []struct {
	name, kind, help string
	value            func(s *worker.PoolStats) uint64
}{
	{"queries_total", "counter", "Questions that needed an upstream of the pool.", func(s *worker.PoolStats) uint64 { return s.Queries }},
	{"retries_total", "counter", "Exchanges repeated with the same or another upstream.", func(s *worker.PoolStats) uint64 { return s.Retries }},
	{
		"retries_denied_total", "counter", "Retries that were not made because retry_budget was used up.",
		func(s *worker.PoolStats) uint64 { return s.RetriesDenied },
	},
	{"hedges_total", "counter", "Second exchanges because the first was slow.", func(s *worker.PoolStats) uint64 { return s.Hedges }},
	{
		"hedges_denied_total", "counter", "Hedges that were not made because hedge_budget or retry_budget was used up.",
		func(s *worker.PoolStats) uint64 { return s.HedgesDenied },
	},
	{"hedge_wins_total", "counter", "Hedges that answered first.", func(s *worker.PoolStats) uint64 { return s.HedgeWins }},
	{"racers_total", "counter", "Exchanges beside the first one of a race.", func(s *worker.PoolStats) uint64 { return s.Racers }},
	{
		"limited_total", "counter", "Questions refused because every upstream had as much under way, or the pool was asked as often, as it may.",
		func(s *worker.PoolStats) uint64 { return s.Limited },
	},
	{"stale_total", "counter", "Answers given after their TTL because no upstream was to be had.", func(s *worker.PoolStats) uint64 { return s.Stale }},
	{"failed_total", "counter", "Questions that ended in SERVFAIL.", func(s *worker.PoolStats) uint64 { return s.Failed }},
	{"cache_bytes", "gauge", "Memory of the pool's cache_size in use, without the level that workers share.", func(s *worker.PoolStats) uint64 { return s.CacheBytes }},
	{"in_flight", "gauge", "Exchanges under way.", func(s *worker.PoolStats) uint64 { return s.InFlight }},
}
