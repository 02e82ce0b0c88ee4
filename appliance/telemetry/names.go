package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/appliance/bootstrap"
	"secure-dns-proxy/appliance/ddr"
)

// Designation is what is known of the encrypted resolver beside a plain one.
type Designation struct {
	Upstream string
	State    ddr.State
}

// AddDesignations puts the state of RFC 9462 discovery on the page, for the upstreams that list names.
func AddDesignations(set *metrics.Set, list func() []Designation) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_upstream_ddr", "gauge", "1 for what is known of the designated resolver (RFC 9462) of an upstream with ddr: unknown, absent, unverified, or upgraded to.")
		for _, d := range list() {
			for state := range ddr.StateCount {
				p.gauge(one(state == d.State), "upstream", d.Upstream, "state", state.String())
			}
		}
		p.writeTo(w)
	})
}

// AddLookups puts the look-ups of upstream names on the page.
func AddLookups(set *metrics.Set, lookups *bootstrap.Counters) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_name_lookups_total", "counter", "Look-ups of upstream names, by who knew the addresses: an upstream, a bootstrap server, or nobody.")
		p.counter(lookups.Upstream.Load(), "result", "upstream")
		p.counter(lookups.Server.Load(), "result", "bootstrap")
		p.counter(lookups.Failed.Load(), "result", "failed")
		p.writeTo(w)
	})
}
