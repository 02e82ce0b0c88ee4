package scenario

import (
	"context"
	"errors"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// disturbancePause is the time between two disturbances: far more often than in operation, so that p99.9 sees them.
const disturbancePause = 50 * time.Millisecond

// pauses: what do a scrape and a reload cost the queries that come meanwhile? Both allocate, so they bring GC cycles too.
func pauses() *Scenario {
	return &Scenario{
		ID: Pauses, Title: "pauses by scrapes and reloads",
		Question: "What do scrapes of /metrics, reloads, and the GC cycles they bring, cost the queries that come meanwhile?",
		Load:     "hits at half of the closed-loop rate: undisturbed, with 20 scrapes/s, with 20 reloads/s",
		Bar:      "none in numbers: the pause must be bounded",
		Programs: ours, Takes: func(s Settings) time.Duration { return s.Full + 3*s.Half },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			if err := t.fill(ctx, hitNames); err != nil {
				return nil, err
			}
			capacity, err := t.measure(ctx, load.Run{Names: hitNames, Window: window, Duration: t.Full})
			if err != nil {
				return nil, err
			}
			s := capacity.sample()
			scrape := func() error {
				_, err := readMetrics(ctx, t.process.Setup.Control)
				return err
			}
			reload := func() error { return t.process.Signal(t.Program.Reload) }
			nothing := func() error { return nil }
			for _, d := range []struct {
				name    figure.Name
				disturb func() error
			}{{figure.Calm999, nothing}, {figure.Scrape999, scrape}, {figure.Reload999, reload}} {
				if s[d.name], err = t.disturbed(ctx, s[figure.QPS]/2, d.disturb); err != nil {
					return nil, err
				}
			}
			return s, nil
		},
	}
}

// disturbed returns p99.9 in microseconds at the given rate while disturb is called again and again.
func (t *Turn) disturbed(ctx context.Context, rate float64, disturb func() error) (float64, error) {
	over, disturbed := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-over:
				disturbed <- nil
				return
			case <-time.After(disturbancePause):
			}
			if err := disturb(); err != nil {
				disturbed <- err
				return
			}
		}
	}()
	m, err := t.measure(ctx, load.Run{Names: hitNames, Rate: rate, Duration: t.Half})
	close(over)
	if err := errors.Join(err, <-disturbed); err != nil {
		return 0, err
	}
	return m.report.LatencyUs.P999, nil
}
