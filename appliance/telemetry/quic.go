package telemetry

import (
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker"
)

// overQUIC says whether an upstream that is in use is asked over QUIC.
func overQUIC(r *worker.UpstreamReport) bool {
	return r.Endpoint != nil && r.Endpoint.Scheme == transport.QUIC
}

func quicEarlyData(p *page, r *worker.UpstreamReport) {
	if r.EarlyAccepted > 0 || r.EarlyRejected > 0 || overQUIC(r) {
		p.counter(r.EarlyAccepted, "upstream", r.Name, "result", "accepted")
		p.counter(r.EarlyRejected, "upstream", r.Name, "result", "rejected")
	}
}

func quicStalled(p *page, r *worker.UpstreamReport) {
	if r.Stalled > 0 || overQUIC(r) {
		p.counter(r.Stalled, "upstream", r.Name)
	}
}
