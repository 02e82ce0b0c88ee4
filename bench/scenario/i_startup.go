package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/server"
)

const (
	// reloadRate is the queries per second around a reload, reloadRun how long they last, reloadDelay when it happens.
	reloadRate  = 2000
	reloadRun   = 2 * time.Second
	reloadDelay = 700 * time.Millisecond
	// reloadTimeout is how long the new configuration may take to be in force, reloadPoll how often we look.
	reloadTimeout = 20 * time.Second
	reloadPoll    = time.Millisecond
)

// startup: how long is a restart, and what does a reload cost the clients?
func startup() *Scenario {
	return &Scenario{
		ID: Startup, Title: "start-up and reload",
		Question: "How long does it take from exec to the first answer, and what does a reload cost the clients?",
		Load:     "start with one Do53 upstream; then 2000 queries/s (hits) for 2 s with a reload in the middle",
		Bar:      "none; for comparison",
		Programs: everyone, Takes: func(Settings) time.Duration { return reloadRun + time.Second },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			used, err := proc.ReadUsage(t.process.PID)
			if err != nil {
				return nil, err
			}
			s := figure.Sample{
				figure.StartMs:  float64(t.process.Ready) / float64(time.Millisecond),
				figure.StartCPU: float64(used.Total()) / float64(time.Millisecond),
			}
			if err := t.addRSS(s); err != nil {
				return nil, err
			}
			if t.Program.Reload == 0 {
				return s, nil
			}
			if err := t.fill(ctx, hitNames); err != nil {
				return nil, err
			}
			return s, t.reloadUnderLoad(ctx, s)
		},
	}
}

// reloadUnderLoad reloads once while queries come in.
func (t *Turn) reloadUnderLoad(ctx context.Context, s figure.Sample) error {
	reloaded := make(chan error, 1)
	go func() {
		time.Sleep(reloadDelay)
		reloaded <- t.reload(ctx, s, reloadPoll)
	}()
	m, err := t.measure(ctx, load.Run{Names: hitNames, Rate: reloadRate, Duration: reloadRun})
	if err := errors.Join(err, <-reloaded); err != nil {
		return err
	}
	s[figure.ReloadLost] = float64(m.report.Lost + m.report.Unsent)
	s[figure.ReloadMax] = m.report.LatencyUs.Max
	return nil
}

// reload sends the signal; where the program counts its reloads, it waits for the count, at which it looks every poll.
func (t *Turn) reload(ctx context.Context, s figure.Sample, poll time.Duration) error {
	if !t.Program.Metrics {
		return t.process.Signal(t.Program.Reload)
	}
	const counter = `sdp_reloads_total{result="applied"}`
	before, err := readMetrics(ctx, t.process.Setup.Control)
	if err != nil {
		return err
	}
	if _, ok := before[counter]; !ok {
		return fmt.Errorf("metrics have no %s", counter)
	}
	begun := time.Now()
	if err := t.process.Signal(t.Program.Reload); err != nil {
		return err
	}
	for time.Since(begun) < reloadTimeout {
		now, err := readMetrics(ctx, t.process.Setup.Control)
		if err != nil {
			return err
		}
		if now[counter] > before[counter] {
			s[figure.ReloadMs] = float64(time.Since(begun)) / float64(time.Millisecond)
			return nil
		}
		time.Sleep(poll)
	}
	return fmt.Errorf("no reload within %v", reloadTimeout)
}
