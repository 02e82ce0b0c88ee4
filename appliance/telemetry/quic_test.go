package telemetry

import (
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker"
)

// TestQUIC: quic upstreams have series of their own, and keep the counters when a reload has removed them.
func TestQUIC(t *testing.T) {
	f := sample()
	f.upstreams = append(f.upstreams,
		worker.UpstreamReport{
			Name: "quic://192.0.2.3", Endpoint: &transport.Endpoint{Name: "quic://192.0.2.3", Scheme: transport.QUIC},
			EarlyAccepted: 3, EarlyRejected: 2, Stalled: 1,
		},
		worker.UpstreamReport{Name: "quic://192.0.2.4", EarlyRejected: 5, Stalled: 6})
	got := scrape(t, f)
	for series, want := range map[string]string{
		`sdp_upstream_quic_early_data_total{upstream="quic://192.0.2.3",result="accepted"}`: "3",
		`sdp_upstream_quic_early_data_total{upstream="quic://192.0.2.3",result="rejected"}`: "2",
		`sdp_upstream_quic_early_data_total{upstream="quic://192.0.2.4",result="rejected"}`: "5",
		`sdp_upstream_quic_early_data_total{upstream="tls://192.0.2.1",result="accepted"}`:  "",
		`sdp_upstream_quic_stalled_total{upstream="quic://192.0.2.3"}`:                      "1",
		`sdp_upstream_quic_stalled_total{upstream="quic://192.0.2.4"}`:                      "6",
		`sdp_upstream_quic_stalled_total{upstream="tls://192.0.2.1"}`:                       "",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
