package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/inspect"
)

// inspection writes what workers count of the inspector ([inspect]).
func (p *page) inspection(s *worker.Stats) {
	p.count("sdp_inspection_asked_total", "Questions shown to the inspector.", s.InspectAsked)
	p.begin("sdp_inspection_verdicts_total", "counter", "What it said in time: pass; once, the answer is not kept; answer, an RCODE; drop.")
	p.counter(s.InspectPassed, "verdict", "pass")
	p.counter(s.InspectOnce, "verdict", "once")
	p.counter(s.InspectAnswered, "verdict", "answer")
	p.counter(s.InspectDropped, "verdict", "drop")
	p.begin("sdp_inspection_missing_total", "counter", "Questions without a verdict, for which inspect.on_failure decided: late, the budget ended; failed; full, not shown for want of room.")
	p.counter(s.InspectLate, "reason", "late")
	p.counter(s.InspectFailed, "reason", "failed")
	p.counter(s.InspectFull, "reason", "full")
	p.count("sdp_inspection_denied_total", "Of these, refused.", s.InspectDenied)
	p.begin("sdp_inspection_duration_seconds", "histogram", "Time of questions to a verdict in time.")
	p.histogram(&s.InspectLatency, queryBucketStep)
}

// AddInspection adds to the page what became of the inspector's calls.
func AddInspection(set *metrics.Set, figures func() inspect.Figures) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p, f := new(page), figures()
		p.begin("sdp_inspection_errors_total", "counter", "Questions that the inspector did not decide: expired before their turn; failed, an error, a trap, too much time; panic; unopened, there was no instance; resting, after many failures in a row.")
		p.counter(f.Expired, "kind", "expired")
		p.counter(f.Failed, "kind", "failed")
		p.counter(f.Panicked, "kind", "panic")
		p.counter(f.Unopened, "kind", "unopened")
		p.counter(f.Rested, "kind", "resting")
		p.count("sdp_inspection_rests_total", "Times that a worker's inspector began to rest.", f.Rests)
		p.writeTo(w)
	})
}
