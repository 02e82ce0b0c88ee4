package scenario

import (
	"context"
	"errors"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

const (
	// enginePairs is how often the engines take turns under each load: an even number, so that each is the first one as often.
	enginePairs = 6
	// engineStretch is how long each is asked at a time at most, so that what the machine does meanwhile hits both alike.
	engineStretch = time.Second / 2
)

// engines: is the slower engine the default? The two differ by less than a machine drifts from one process to the next, so that both run, on one
// CPU, and are asked by turns: one that is not asked takes no CPU time.
func engines() *Scenario {
	loads := []struct {
		ratio  figure.Name
		scheme server.Scheme
		misses bool
	}{
		{figure.EngineHits, server.UDP, false},
		{figure.EngineMissUDP, server.UDP, true},
		{figure.EngineMissTLS, server.TLS, true},
	}
	return &Scenario{
		ID: Engines, Title: "the two engines side by side",
		Question: "Which engine needs less CPU time, for hits, and for misses over Do53 and DoT?",
		Load:     "as (a), (c) and (d) at 2048; both engines run on one CPU and are asked by turns, 6 times each under each load",
		Bar:      "the slower one is not the default",
		Programs: []string{server.URing},
		Takes: func(s Settings) time.Duration {
			return time.Duration(len(loads)) * (2*enginePairs*min(s.Full/2, engineStretch) + 2*missWarm + 2*time.Second)
		},
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			s := figure.Sample{}
			for _, l := range loads {
				ratio, err := t.sideBySide(ctx, l.scheme, l.misses)
				if err != nil {
					return nil, err
				}
				s[l.ratio] = ratio
			}
			return s, nil
		},
	}
}

// sideBySide returns the CPU time of an answer by recvmmsg over that by io_uring.
func (t *Turn) sideBySide(ctx context.Context, scheme server.Scheme, misses bool) (ratio float64, err error) {
	var both [2]*Turn
	defer func() {
		for _, one := range both {
			if one != nil {
				err = errors.Join(err, one.Stop(err != nil))
			}
		}
	}()
	for i, id := range []string{server.URing, server.Mmsg} {
		both[i] = &Turn{Bench: t.Bench, Number: t.Number, Program: t.Program.Engine(id)}
		if err := both[i].readyFor(ctx, scheme, misses); err != nil {
			return 0, err
		}
	}
	var cpu, answered [2]float64
	for k := range 2 * enginePairs {
		i := (k + 1) / 2 % 2 // 0 1 1 0 0 1 1 0
		m, err := both[i].measure(ctx, t.engineLoad(misses, min(t.Full/2, engineStretch)))
		if err != nil {
			return 0, err
		}
		cpu[i] += m.server.Total().Seconds()
		answered[i] += float64(m.report.Answered)
	}
	return cpu[1] / answered[1] / (cpu[0] / answered[0]), nil
}

// readyFor starts the program, fills its cache with what will be asked, or touches what misses touch.
func (t *Turn) readyFor(ctx context.Context, scheme server.Scheme, misses bool) error {
	if !misses {
		return t.startFull(ctx)
	}
	if err := t.start(ctx, scheme, server.Cache{Entries: missCache}); err != nil {
		return err
	}
	_, err := t.measure(ctx, t.engineLoad(true, min(missWarm, t.Full)))
	return err
}

func (t *Turn) engineLoad(misses bool, duration time.Duration) load.Run {
	if !misses {
		return load.Run{Names: hitNames, Window: window, Duration: duration}
	}
	return load.Run{First: t.newNames(), Names: namesPerRun, Once: true, Window: window, Duration: duration}
}
