package telemetry

import (
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker"
)

// TestHTTP: https upstreams have series of their own, and keep the counters when a reload has removed them.
func TestHTTP(t *testing.T) {
	status := [transport.HTTPClasses]uint64{2: 50, 4: 2}
	f := sample()
	f.upstreams = append(f.upstreams, worker.UpstreamReport{
		Name: "https://192.0.2.3", Endpoint: &transport.Endpoint{Name: "https://192.0.2.3", Scheme: transport.HTTPS},
		Connections: 3, OpenHTTP3: 1, HTTP3Failures: 4, HTTPStatus: status,
	}, worker.UpstreamReport{Name: "https://192.0.2.4", HTTPStatus: status})
	got := scrape(t, f)
	for series, want := range map[string]string{
		`sdp_upstream_http_responses_total{upstream="https://192.0.2.3",class="2xx"}`: "50",
		`sdp_upstream_http_responses_total{upstream="https://192.0.2.3",class="4xx"}`: "2",
		`sdp_upstream_http_responses_total{upstream="https://192.0.2.3",class="5xx"}`: "0",
		`sdp_upstream_http_responses_total{upstream="https://192.0.2.4",class="4xx"}`: "2",
		`sdp_upstream_http_responses_total{upstream="https://192.0.2.4",class="5xx"}`: "",
		`sdp_upstream_http_responses_total{upstream="tls://192.0.2.1",class="2xx"}`:   "",
		`sdp_upstream_http_connections{upstream="https://192.0.2.3",version="2"}`:     "2",
		`sdp_upstream_http_connections{upstream="https://192.0.2.3",version="3"}`:     "1",
		`sdp_upstream_http_fallbacks_total{upstream="https://192.0.2.3"}`:             "4",
		`sdp_upstream_http_fallbacks_total{upstream="udp://192.0.2.2"}`:               "",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
