package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/worker"
)

// remote writes what workers count of the cache that instances share ([cache.remote]).
func (p *page) remote(s *worker.Stats) {
	p.count("sdp_remote_cache_asked_total", "Questions to the second-tier cache.", s.TierAsked)
	p.begin("sdp_remote_cache_results_total", "counter", "What became of them: hit; miss; invalid, what came was no answer; late, the budget ended first; error.")
	p.counter(s.TierHits, "result", "hit")
	p.counter(s.TierMisses, "result", "miss")
	p.counter(s.TierInvalid, "result", "invalid")
	p.counter(s.TierLate, "result", "late")
	p.counter(s.TierErrors, "result", "error")
	p.count("sdp_remote_cache_late_hits_total", "Of the late ones, those answered before an upstream did.", s.TierLateHits)
	p.begin("sdp_remote_cache_unasked_total", "counter", "Questions that went to upstreams at once: it was taken out, or had too many under way.")
	p.counter(s.TierSkipped, "reason", "out")
	p.counter(s.TierRefused, "reason", "full")
	p.count("sdp_remote_cache_fills_total", "Answers on their way to the second-tier cache.", s.TierFills)
	p.count("sdp_remote_cache_fills_dropped_total", "Answers that were not sent there: no room in the queue, too long, or it was taken out.", s.TierFillsDropped)
	p.count("sdp_remote_cache_taken_out_total", "Times that a worker took it out because it was slow or gone.", s.TierOuts)
	p.level("sdp_remote_cache_out_workers", "Workers that have taken it out.", s.TierOut)
	p.begin("sdp_remote_cache_duration_seconds", "histogram", "Time of questions to it that were answered or failed within the budget.")
	p.histogram(&s.TierLatency, queryBucketStep)
}

// AddRemote adds to the page what is known of the servers of that cache.
func AddRemote(set *metrics.Set, figures func() tier.Stats) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		p, f := new(page), figures()
		p.count("sdp_remote_cache_connects_total", "Times that the servers were found; they are found again without counting.", f.Connects)
		p.count("sdp_remote_cache_connect_errors_total", "Times that no first connection could be made.", f.ConnectErrors)
		p.count("sdp_remote_cache_read_total", "Values asked of the servers.", f.Asks)
		p.count("sdp_remote_cache_read_errors_total", "Of them, those that failed, whether or not somebody still waited.", f.GetErrors)
		p.begin("sdp_remote_cache_unusable_values_total", "counter", "Values that were found and not used: past their time; flushed here; or damaged, of another version or to another question.")
		p.counter(f.Expired, "reason", "expired")
		p.counter(f.Forgotten, "reason", "flushed")
		p.counter(f.Broken, "reason", "broken")
		p.count("sdp_remote_cache_stored_total", "Answers that the servers have stored.", f.Stored)
		p.count("sdp_remote_cache_store_errors_total", "Answers that they have not.", f.SetErrors)
		p.writeTo(w)
	})
}
