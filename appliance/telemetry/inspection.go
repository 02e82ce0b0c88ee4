package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/inspect"
)

// inspection writes what workers count of the inspector ([inspect]), by the point at which it was asked.
func (p *page) inspection(s *worker.Stats) {
	points := func(name, kind, help string, write func(i *worker.InspectStats, point string)) {
		p.begin(name, kind, help)
		for at := range s.Inspect {
			write(&s.Inspect[at], inspect.PointNames[at])
		}
	}
	points("sdp_inspection_asked_total", "counter", "Questions, queries and answers shown to the inspector.", func(i *worker.InspectStats, point string) {
		p.counter(i.Asked, "point", point)
	})
	points("sdp_inspection_recalled_total", "counter", "Those not shown because a verdict was kept.", func(i *worker.InspectStats, point string) {
		p.counter(i.Recalled, "point", point)
	})
	points("sdp_inspection_verdicts_total", "counter", "What it said in time, or has said before: pass; once, the answer is not kept; answer, an RCODE; drop.", func(i *worker.InspectStats, point string) {
		p.counter(i.Passed, "point", point, "verdict", "pass")
		p.counter(i.Once, "point", point, "verdict", "once")
		p.counter(i.Answered, "point", point, "verdict", "answer")
		p.counter(i.Dropped, "point", point, "verdict", "drop")
	})
	points("sdp_inspection_missing_total", "counter", "What has no verdict, for which on_failure decided: late, over its budget; failed; full, not shown for want of room.", func(i *worker.InspectStats, point string) {
		p.counter(i.Late, "point", point, "reason", "late")
		p.counter(i.Failed, "point", point, "reason", "failed")
		p.counter(i.Full, "point", point, "reason", "full")
	})
	points("sdp_inspection_denied_total", "counter", "Of these, refused.", func(i *worker.InspectStats, point string) {
		p.counter(i.Denied, "point", point)
	})
	points("sdp_inspection_duration_seconds", "histogram", "Time of what was shown to a verdict in time.", func(i *worker.InspectStats, point string) {
		p.histogram(&i.Latency, queryBucketStep, "point", point)
	})
	p.count("sdp_inspection_verdicts_kept_total", "Verdicts that were kept for a while, as the inspector said.", s.VerdictsKept)
	p.count("sdp_inspection_verdicts_displaced_total", "Those that had to make room before they were over.", s.VerdictsDisplaced)
}

// AddInspection adds to the page what became of the inspector's calls.
func AddInspection(set *metrics.Set, figures func() inspect.Figures) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p, f := new(page), figures()
		p.begin("sdp_inspection_errors_total", "counter", "What the inspector did not decide: expired before their turn; failed, an error, a trap, too much time; panic; unopened, there was no instance; resting, after many failures in a row.")
		p.counter(f.Expired, "kind", "expired")
		p.counter(f.Failed, "kind", "failed")
		p.counter(f.Panicked, "kind", "panic")
		p.counter(f.Unopened, "kind", "unopened")
		p.counter(f.Rested, "kind", "resting")
		p.count("sdp_inspection_rests_total", "Times that a worker's inspector began to rest.", f.Rests)
		p.writeTo(w)
	})
}
