package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// disturbancePause is the time between two disturbances: far more often than in operation, so that p99.9 sees them.
const disturbancePause = 50 * time.Millisecond

// policyRun is how long policies are replaced, policyPoll how often we look whether one is in force. A look takes CPU time of the server and, where generator and
// server have all CPUs between them, more from the server: rarely enough not to be what is measured.
const policyRun, policyPoll = 4 * time.Second, 250 * time.Millisecond

// eagerGC makes a collector that starts a cycle whenever the heap has grown by a hundredth: far more often than in operation.
const eagerGC = "GOGC=1"

// pauses: what do a scrape, a reload, a dump of the cache and a cycle of the garbage collector cost the queries that come meanwhile?
func pauses() *Scenario {
	return &Scenario{
		ID: Pauses, Title: "pauses by scrapes, reloads, dumps of the cache and garbage collection",
		Question: "What do scrapes of /metrics, reloads, dumps of the cache and GC cycles cost the queries that come meanwhile?",
		Load:     "hits at half of the closed-loop rate of 1000 sockets with one query each: undisturbed, with 20 scrapes/s, with 20 reloads/s, with dumps of the whole cache 50 ms apart; while 100 rules, a set of a million suffixes and a policy zone of 20,000 triggers are read again and again; with 20 scrapes/s and GOGC=1",
		Bar:      "none in numbers: the pause must be bounded. The echo, which does nothing else, shows what the machine alone costs",
		Programs: append(slices.Clone(ours), server.Echo), Takes: func(s Settings) time.Duration { return s.Full + 5*s.Half + policyRun },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.startFull(ctx); err != nil {
				return nil, err
			}
			// One query on each socket: what is measured at half of this comes one by one too, not in the bursts that answers to a few sockets can share messages for.
			capacity, err := t.measure(ctx, load.Run{Names: hitNames, Window: loneClients, Flows: loneClients, Duration: t.Full})
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
			if t.Program.ID == server.Echo {
				s[figure.Calm999], err = t.disturbed(ctx, s[figure.QPS]/2, t.Half, nothing)
				return s, err
			}
			for _, d := range []struct {
				name    figure.Name
				disturb func() error
			}{{figure.Calm999, nothing}, {figure.Scrape999, scrape}, {figure.Reload999, reload}, {figure.Dump999, dumper(ctx, t.process.Setup)}} {
				if s[d.name], err = t.disturbed(ctx, s[figure.QPS]/2, t.Half, d.disturb); err != nil {
					return nil, err
				}
			}
			if err := t.renewingPolicy(ctx, s); err != nil {
				return nil, err
			}
			return s, t.collecting(ctx, s, scrape)
		},
	}
}

// startFull starts the program with everything cached that will be asked.
func (t *Turn) startFull(ctx context.Context) error {
	if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
		return err
	}
	return t.fill(ctx, hitNames)
}

// renewingPolicy measures while rules, a large set and a policy zone are replaced, one reload after the other.
func (t *Turn) renewingPolicy(ctx context.Context, s figure.Sample) error {
	round := 0
	renew := func() error {
		round++
		if err := server.Policy(t.process.Setup, round); err != nil {
			return err
		}
		return t.reload(ctx, figure.Sample{}, policyPoll)
	}
	if err := renew(); err != nil { // memory is touched the first time
		return err
	}
	var err error
	s[figure.Policy999], err = t.disturbed(ctx, s[figure.QPS]/2, policyRun, renew)
	s[figure.Policies] = float64(round - 1)
	return err
}

// collecting measures a new process whose collector runs with every scrape, and makes sure that it did.
func (t *Turn) collecting(ctx context.Context, s figure.Sample, scrape func() error) error {
	if err := t.process.Stop(); err != nil {
		return err
	}
	t.env = []string{eagerGC}
	defer func() { t.env = nil }()
	if err := t.startFull(ctx); err != nil {
		return err
	}
	before, err := t.cycles(ctx)
	if err != nil {
		return err
	}
	if s[figure.GC999], err = t.disturbed(ctx, s[figure.QPS]/2, t.Half, scrape); err != nil {
		return err
	}
	after, err := t.cycles(ctx)
	if err != nil {
		return err
	}
	s[figure.GCCycles] = after - before
	if after == before {
		return fmt.Errorf("%s collected no garbage under %s", t.Program.ID, eagerGC)
	}
	return nil
}

// cycles is how many cycles the program's collector has run.
func (t *Turn) cycles(ctx context.Context) (float64, error) {
	const counter = "go_gc_duration_seconds_count"
	metrics, err := readMetrics(ctx, t.process.Setup.Control)
	if err != nil {
		return 0, err
	}
	n, ok := metrics[counter]
	if !ok {
		return 0, fmt.Errorf("metrics have no %s", counter)
	}
	return n, nil
}

// disturbed returns p99.9 in microseconds at the given rate while disturb is called again and again.
func (t *Turn) disturbed(ctx context.Context, rate float64, duration time.Duration, disturb func() error) (float64, error) {
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
	m, err := t.measure(ctx, load.Run{Names: hitNames, Rate: rate, Duration: duration})
	close(over)
	if err := errors.Join(err, <-disturbed); err != nil {
		return 0, err
	}
	return m.report.LatencyUs.P999, nil
}
