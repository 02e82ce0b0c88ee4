package scenario

import (
	"context"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// alone: does batching make a query wait that comes alone?
func alone() *Scenario {
	return &Scenario{
		ID: Alone, Title: "one query at a time",
		Question: "Does batching make a query wait that comes alone?",
		Load:     "UDP, hits on 10,000 names, one outstanding",
		Bar:      "p50 within 1.1x of the echo's",
		Programs: everyone, Takes: func(s Settings) time.Duration { return s.Half },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			if err := t.fill(ctx, hitNames); err != nil {
				return nil, err
			}
			m, err := t.measure(ctx, load.Run{Names: hitNames, Window: 1, Flows: 1, Duration: t.Half})
			if err != nil {
				return nil, err
			}
			s := m.sample()
			s[figure.Alone50], s[figure.Alone99] = m.report.LatencyUs.P50, m.report.LatencyUs.P99
			return s, nil
		},
	}
}
