package telemetry

import "secure-dns-proxy/worker"

// scrubs shows what was changed in answers of upstreams.
func (p *page) scrubs(s *worker.Scrubs) {
	p.begin("sdp_changed_answers_total", "counter", "Answers of upstreams that were changed before they were kept and told, by reason: records of "+
		"other names left out, private addresses of strangers' names (rebinding), IPv6 addresses and reverse names made by DNS64.")
	p.counter(s.Trimmed, "reason", "strange_records")
	p.counter(s.Rebinding, "reason", "rebinding")
	p.counter(s.Translated, "reason", "dns64")
	p.counter(s.Reversed, "reason", "dns64_reverse")
	p.count("sdp_nxdomain_cuts_total", "Queries for names below one that does not exist, answered so without asking (RFC 8020).", s.Cut)
}
