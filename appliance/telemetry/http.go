package telemetry

import (
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker"
)

var httpClasses = [transport.HTTPClasses]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

// overHTTP says whether an upstream that is in use is asked over HTTP.
func overHTTP(r *worker.UpstreamReport) bool {
	return r.Endpoint != nil && r.Endpoint.Scheme == transport.HTTPS
}

func httpResponses(p *page, r *worker.UpstreamReport) {
	for class, n := range r.HTTPStatus {
		if n > 0 || overHTTP(r) {
			p.counter(n, "upstream", r.Name, "class", httpClasses[class])
		}
	}
}

func httpConnections(p *page, r *worker.UpstreamReport) {
	if overHTTP(r) {
		p.gauge(r.Connections-min(r.Connections, r.OpenHTTP3), "upstream", r.Name, "version", "2")
		p.gauge(r.OpenHTTP3, "upstream", r.Name, "version", "3")
	}
}

func httpFallbacks(p *page, r *worker.UpstreamReport) {
	if r.HTTP3Failures > 0 || overHTTP(r) {
		p.counter(r.HTTP3Failures, "upstream", r.Name)
	}
}
