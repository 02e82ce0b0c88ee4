package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker"
)

// rules writes what the rules of an operator have done.
func (p *page) rules(reports []worker.RuleReport, s *worker.Stats) {
	p.begin("sdp_rule_hits_total", "counter", "Queries and answers that a rule has matched, by chain and name of the rule.")
	for i := range reports {
		p.counter(reports[i].Hits, "chain", reports[i].Chain.String(), "rule", reports[i].Name)
	}
	p.count("sdp_rule_delays_total", "Queries that a rule had wait (delay).", s.Delays)
	p.count("sdp_rule_delays_denied_total", "Those that were not delayed for want of room.", s.DelaysDenied)
	p.count("sdp_rule_tees_total", "Queries sent to a pool whose answers are ignored (tee).", s.Tees)
	p.count("sdp_rule_tees_denied_total", "Those that were not for want of room.", s.TeesDenied)
}

// SetSize is how many entries a set has.
type SetSize struct {
	Name    string
	Entries int
}

// AddSets puts the sets that sizes names on the page, and what became of changes of their files.
func AddSets(set *metrics.Set, sizes func() []SetSize, reloads *Reloads) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_set_entries", "gauge", "Names or prefixes in a set of rules.")
		for _, s := range sizes() {
			p.gauge(uint64(s.Entries), "set", s.Name)
		}
		p.begin("sdp_set_reloads_total", "counter", "Changed files of sets by result; a refused one changed nothing.")
		p.counter(reloads.Applied.Load(), "result", "applied")
		p.counter(reloads.Refused.Load(), "result", "refused")
		p.writeTo(w)
	})
}
