package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/appliance/bootstrap"
)

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
