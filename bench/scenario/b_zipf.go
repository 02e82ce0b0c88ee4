package scenario

import (
	"context"
	"math"
	"slices"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// EntryBytes is the memory that the issue allows for an answer: its wire length, its key, and 64 bytes.
const EntryBytes = load.AnswerBytes + load.KeyBytes + 64

// zipfWarm is how long the cache sees the traffic before it is measured.
const zipfWarm = 3 * time.Second

const (
	// zipfAlikeWarm is the same for hits at the hit ratio of (b): memory is touched the first time.
	zipfAlikeWarm = time.Second / 2
	// alikeWithin is how much the two hit ratios may differ.
	alikeWithin = 0.01
)

// zipf: what does a cache make of more names than it can hold? Names and cache shrink together in a quick run.
func zipf() *Scenario {
	return &Scenario{
		ID: Zipf, Title: "Zipf 1.0, a cache for a tenth of the names", Chart: true,
		Question: "What does a cache make of ten times as many names as it can hold?",
		Load:     "UDP, Zipf 1.0 over 1M names, room for 100k entries; 2048 outstanding; misses over Do53",
		Bar:      "hit ratio of an LRU of the same bytes; 0.8 of (a)'s answers per second at equal hit ratio",
		Programs: everyone,
		// The generator's table of names is made for each run, and the LRU is run through.
		Takes: func(s Settings) time.Duration {
			return 2*s.Full + s.Half + zipfAlikeWarm + min(zipfWarm, 3*s.Full) + time.Duration(s.Entries)*3*time.Microsecond
		},
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			names := t.Entries
			cache := server.Cache{Entries: names / 10, Bytes: int64(names) / 10 * EntryBytes}
			if err := t.start(ctx, server.UDP, cache); err != nil {
				return nil, err
			}
			run := load.Run{Names: uint64(names), Zipf: 1, Window: window}
			warm := run
			warm.Duration = min(zipfWarm, 3*t.Full)
			w, err := t.measure(ctx, warm)
			if err != nil {
				return nil, err
			}
			s, err := t.full(ctx, func() load.Run { return run })
			if err != nil {
				return nil, err
			}
			if !t.Program.Forwards {
				return s, nil
			}
			s[figure.LRUHitRatio] = lruHitRatio(names, cache.Entries, int(w.report.Answered), int(s[figure.QPS]*t.Full.Seconds()), uint64(t.Number))
			if !slices.Contains(ours, t.Program.ID) {
				return s, nil
			}
			return s, t.hitsAlike(ctx, s)
		},
	}
}

// hitsAlike adds what the program does of (a)'s names, all cached, at the hit ratio of s: as many new names are asked beside them. Traffic,
// trains and backend are the same, so that the difference is what many names and a full cache cost.
func (t *Turn) hitsAlike(ctx context.Context, s figure.Sample) error {
	if err := t.Stop(false); err != nil {
		return err
	}
	if err := t.start(ctx, server.UDP, server.Cache{Entries: missCache}); err != nil {
		return err
	}
	if err := t.fill(ctx, hitNames); err != nil {
		return err
	}
	var m *measurement
	for _, duration := range []time.Duration{zipfAlikeWarm, t.Full} {
		var err error
		run := load.Run{Names: hitNames, Fresh: 1 - s[figure.HitRatio], FreshFirst: t.newNames(), Window: window, Duration: duration}
		if m, err = t.measure(ctx, run); err != nil {
			return err
		}
	}
	alike := m.sample()
	s[figure.AlikeHitRatio] = alike[figure.HitRatio]
	if math.Abs(alike[figure.HitRatio]-s[figure.HitRatio]) > alikeWithin {
		return nil // not alike: the figure shows it
	}
	s[figure.AlikeQPS], s[figure.AlikeCPU] = alike[figure.QPS], alike[figure.CPU]
	return nil
}

// zipfCached: the same traffic with room for all names, so that only the processor's caches miss.
func zipfCached() *Scenario {
	return &Scenario{
		ID: ZipfCached, Title: "Zipf 1.0, all names cached", Chart: true,
		Question: "What do hits cost in a cache that is much larger than the processor's?",
		Load:     "UDP, Zipf 1.0 over 1M names, all cached; 2048 outstanding",
		Bar:      "0.8 of (a)'s answers per second at the same hit ratio, 1",
		Programs: []string{server.URing, server.Mmsg, server.DnsdistTuned},
		Takes: func(s Settings) time.Duration {
			return s.Full + s.Half + time.Duration(s.Entries)*12*time.Microsecond + 2*time.Second
		},
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(t.Entries)); err != nil {
				return nil, err
			}
			if err := t.fill(ctx, t.Entries); err != nil {
				return nil, err
			}
			return t.full(ctx, func() load.Run { return load.Run{Names: uint64(t.Entries), Zipf: 1, Window: window} })
		},
	}
}
