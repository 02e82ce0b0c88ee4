package appliance

import (
	"context"
	"log/slog"
	"time"

	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/worker"
)

// observe closes an interval of the trend now and then until ctx ends, and has its skew and what ran short in it judged.
func (s *service) observe(ctx context.Context, workers int) {
	ticker := time.NewTicker(trendInterval)
	defer ticker.Stop()
	steering, _ := s.group.Steering()
	judge := skewJudge{log: s.log, workers: workers, steering: steering}
	lacks := shortageLog{log: s.log}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			judge.see(s.trend.Look(s.group), now)
			lacks.see(s.group.Stats())
		}
	}
}

// skewJudge logs when one worker has had far more than its share for a while, once, with what can be done, and when that is over.
type skewJudge struct {
	log      *slog.Logger
	workers  int
	steering string

	since  time.Time // of the skew that lasts; zero: there is none
	logged time.Time // when one was last logged
	warned bool      // of the one that lasts
}

// limit is the skew that counts: 2, but of fewer than three workers one that has three quarters.
func (j *skewJudge) limit() float64 { return min(2, float64(j.workers+1)/2) }

// see takes the figures of the interval that ends now. Little load is no matter however it is spread.
func (j *skewJudge) see(f telemetry.Figures, now time.Time) {
	if j.workers < 2 {
		return
	}
	if f.Queries < skewQueriesMin || f.Skew < j.limit() {
		if j.warned {
			j.log.Info("workers evenly loaded again", "skew", f.Skew)
		}
		j.since, j.warned = time.Time{}, false
		return
	}
	if j.since.IsZero() {
		j.since = now
	}
	if j.warned || now.Sub(j.since) < skewLasting || !j.logged.IsZero() && now.Sub(j.logged) < skewLogPause {
		return
	}
	j.warned, j.logged = true, now
	j.log.Warn("one worker takes far more than its share", "skew", f.Skew, "limit", j.limit(), "for", now.Sub(j.since)+trendInterval,
		"steering", j.steering, "advice", advice(j.steering))
}

// advice is what helps against skew.
func advice(steering string) string {
	if steering == worker.SteeringCPU {
		return "the network card hands few CPUs most packets: spread its queues (ethtool -X DEVICE equal N, ethtool -N DEVICE rx-flow-hash udp4 sdfn), or set workers.steering = \"hash\""
	}
	return "few flows carry most queries: let the client use more source ports, or pin the workers and set workers.steering = \"cpu\" if the network card spreads its packets over their CPUs"
}
