package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/appliance/control"
)

// AddAccess puts on the page how many were not let at it.
func AddAccess(set *metrics.Set, server *Server) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_metrics_denied_total", "counter", "Connections to the metrics listener that were closed because of metrics.allow.")
		p.counter(server.Denied())
		p.writeTo(w)
	})
}

// AddControl puts the requests to the control socket on the page; nil: there is none.
func AddControl(set *metrics.Set, server *control.Server) {
	if server == nil {
		return
	}
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.begin("sdp_control_requests_total", "counter", "Requests to the control socket by result.")
		refused := server.Counters.Refused.Load()
		p.counter(server.Counters.Requests.Load()-refused, "result", "done")
		p.counter(refused, "result", "refused")
		p.counter(server.Counters.Denied.Load(), "result", "denied")
		p.writeTo(w)
	})
}
