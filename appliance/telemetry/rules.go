package telemetry

import "secure-dns-proxy/worker"

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
