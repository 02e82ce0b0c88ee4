package telemetry

import "secure-dns-proxy/worker"

// views writes all series of a family together, as the format asks for.
func (p *page) views(reports []worker.ViewReport) {
	p.begin("sdp_view_queries_total", "counter", "Queries of the view's clients, answered or not.")
	for i := range reports {
		p.counter(reports[i].Stats.QueriesUDP, "view", reports[i].Name, "transport", "udp")
		p.counter(reports[i].Stats.QueriesTCP, "view", reports[i].Name, "transport", "tcp")
	}
	for _, f := range viewFamilies {
		p.begin("sdp_view_"+f.name, f.kind, f.help)
		for i := range reports {
			if r := &reports[i]; f.kind == "gauge" {
				p.gauge(f.value(&r.Stats), "view", r.Name)
			} else {
				p.counter(f.value(&r.Stats), "view", r.Name)
			}
		}
	}
}

// viewFamilies without the sdp_view_ in front of their names.
var viewFamilies = []struct {
	name, kind, help string
	value            func(s *worker.ViewStats) uint64
}{
	{"cache_hits_total", "counter", "Queries answered from the cache.", func(s *worker.ViewStats) uint64 { return s.Hits }},
	{"limited_total", "counter", "Queries that a limit on their source held back.", func(s *worker.ViewStats) uint64 { return s.Limited }},
	{"misses_total", "counter", "Questions that had to be asked.", func(s *worker.ViewStats) uint64 { return s.Misses }},
	{"full_total", "counter", "Questions that were not asked because max_outstanding was reached.", func(s *worker.ViewStats) uint64 { return s.Full }},
	{"shed_total", "counter", "Queries turned down because there was no room for them.", func(s *worker.ViewStats) uint64 { return s.Shed }},
	{"cache_bytes", "gauge", "Memory of the view's cache_size in use, without the level that workers share.", func(s *worker.ViewStats) uint64 { return s.CacheBytes }},
	{"in_flight", "gauge", "Questions under way that the view's clients have asked first.", func(s *worker.ViewStats) uint64 { return s.InFlight }},
}
