package report

import (
	"fmt"
	"math"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// Criteria are the bars of the issue, in its order.
func Criteria() []Criterion {
	const x = "x"
	return []Criterion{
		{"a.echo", "(a) hits, rate over the echo's", 0.90, false, x, fasterThan(scenario.Hits, server.Echo)},
		{"a.tuned", "(a) hits, rate over dnsdist tuned", 1.25, false, x, fasterThan(scenario.Hits, server.DnsdistTuned)},
		{"a.shipped", "(a) hits, rate over dnsdist as shipped", 1.7, false, x, fasterThan(scenario.Hits, server.Dnsdist)},
		{"a-lone.echo", "(a-lone) hits, one query a socket, rate over the echo's", 0.90, false, x, fasterThan(scenario.HitsLone, server.Echo)},
		{"a-lone.tuned", "(a-lone) hits, one query a socket, rate over dnsdist tuned", 1.25, false, x, fasterThan(scenario.HitsLone, server.DnsdistTuned)},
		{"a.user", "(a) user time per hit", 0.35, true, " us", ours(scenario.Hits, figure.User)},
		{"b.lru", "(b) hit ratio over that of an LRU of the same bytes", 1, false, x, hitRatioOverLRU},
		{"b.alike", "(b) rate over (a)'s at the same hit ratio", 0.8, false, x, alikeRate},
		{"b.cached", "(b) rate over (a)'s with every name cached", 0.8, false, x, cachedRate},
		{"c.tcp", "(c') CPU of a miss over TCP, over DoT's", 1, true, x, cpuOver(scenario.MissTCP, scenario.MissTLS)},
		{"c.tuned", "(c) misses over Do53, CPU of dnsdist tuned over ours", 1.15, false, x, cheaperThan(scenario.MissUDP, server.DnsdistTuned)},
		{"c.echo", "(c) misses over Do53, CPU over the echo's", 2.3, true, x, cpuOverEcho(scenario.MissUDP)},
		{"d.tuned.2048", "(d) misses over DoT, 2048: CPU of dnsdist tuned over ours", 2.5, false, x, cheaperThan(scenario.MissTLS, server.DnsdistTuned)},
		{"d.tuned.256", "(d) misses over DoT, 256: CPU of dnsdist tuned over ours", 2.5, false, x, cheaperThan(scenario.MissTLS256, server.DnsdistTuned)},
		{"d.echo.2048", "(d) misses over DoT, 2048: CPU over the echo's", 1.7, true, x, cpuOverEcho(scenario.MissTLS)},
		{"d.echo.256", "(d) misses over DoT, 256: CPU over the echo's", 2.1, true, x, cpuOverEcho(scenario.MissTLS256)},
		{"e.dot", "(e) CPU of a miss over DoQ, over DoT's", 2, true, x, cpuOver(scenario.MissQUIC, scenario.MissTLS256)},
		{"f.tuned", "(f) hits over pipelined TCP, rate over dnsdist tuned", 1.5, false, x, fasterThan(scenario.Pipelined, server.DnsdistTuned)},
		{"g.goodput", "(g) flood: goodput over capacity", 0.95, false, x, ours(scenario.Flood, figure.Goodput)},
		{"g.loss", "(g) flood: share of the light client's queries lost", 0.01, true, "", ours(scenario.Flood, figure.LightLost)},
		{"g.p99", "(g) flood: p99 of the light client", 20_000, true, " us", ours(scenario.Flood, figure.Light99)},
		{"h.bytes", "(h) memory per cached answer, wire + key + 64", scenario.EntryBytes, true, " B", entryBytes},
		{"engines.a", "default engine over the other, rate of (a)", 1, false, x, defaultEngine(figure.EngineHits)},
		{"engines.c", "default engine over the other, rate of (c)", 1, false, x, defaultEngine(figure.EngineMissUDP)},
		{"engines.d", "default engine over the other, rate of (d) at 2048", 1, false, x, defaultEngine(figure.EngineMissTLS)},
		{"alone.echo", "one query at a time: p50 over the echo's", 1.1, true, x, aloneOverEcho},
	}
}

// ours is a figure of the default engine.
func ours(id string, name figure.Name) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) {
		s := r.Series(id, r.Ours()).Of(name)
		if s.Turns == 0 {
			return s, fmt.Errorf("%w: %s of %s in %s", figure.ErrNotMeasured, name, r.Ours(), id)
		}
		return s, nil
	}
}

// fasterThan is our rate over a program's: queries per second and queries per second of CPU time, whichever is worse in that
// turn. Where the generator is the bottleneck the first is too kind to the slower one, where a server sleeps the second is
// to the busier one.
func fasterThan(id, program string) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) { return rateOver(r, id, r.Ours(), id, program) }
}

func rateOver(r *Results, id, program, baseID, baseProgram string) (figure.Spread, error) {
	s, base := r.Series(id, program), r.Series(baseID, baseProgram)
	spread, err := figure.Combine(func(turn int) (float64, bool) {
		if turn >= len(s) || turn >= len(base) || s[turn] == nil || base[turn] == nil {
			return 0, false
		}
		rate := s[turn][figure.QPS] / base[turn][figure.QPS]
		perCPU := base[turn][figure.CPU] / s[turn][figure.CPU]
		return min(rate, perCPU), true
	}, len(s))
	return spread, missing(err, fmt.Sprintf("%s in %s and %s in %s", program, id, baseProgram, baseID))
}

// cheaperThan is a program's CPU per query over ours.
func cheaperThan(id, program string) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) {
		spread, err := figure.Ratio(r.Series(id, program), r.Series(id, r.Ours()), figure.CPU)
		return spread, missing(err, fmt.Sprintf("%s and %s in %s", program, r.Ours(), id))
	}
}

// cpuOverEcho is our CPU per query over the echo's under the same load.
func cpuOverEcho(id string) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) {
		spread, err := figure.Ratio(r.Series(id, r.Ours()), r.Series(id, server.Echo), figure.CPU)
		return spread, missing(err, fmt.Sprintf("%s and echo in %s", r.Ours(), id))
	}
}

// cpuOver is our CPU per query in one scenario over another.
func cpuOver(id, baseID string) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) {
		spread, err := figure.Ratio(r.Series(id, r.Ours()), r.Series(baseID, r.Ours()), figure.CPU)
		return spread, missing(err, fmt.Sprintf("%s in %s and %s", r.Ours(), id, baseID))
	}
}

func hitRatioOverLRU(r *Results) (figure.Spread, error) {
	s := r.Series(scenario.Zipf, r.Ours())
	spread, err := figure.RatioOf(s, figure.HitRatio, s, figure.LRUHitRatio)
	return spread, missing(err, r.Ours()+" in b")
}

// alikeRate compares (b) with (a) at equal hit ratio, as fasterThan does.
func alikeRate(r *Results) (figure.Spread, error) {
	b := r.Series(scenario.Zipf, r.Ours())
	spread, err := figure.Combine(func(turn int) (float64, bool) {
		qps, known := b[turn][figure.AlikeQPS]
		return min(b[turn][figure.QPS]/qps, b[turn][figure.AlikeCPU]/b[turn][figure.CPU]), known
	}, len(b))
	return spread, missing(err, r.Ours()+" in b")
}

func cachedRate(r *Results) (figure.Spread, error) {
	return rateOver(r, scenario.ZipfCached, r.Ours(), scenario.Hits, r.Ours())
}

// entryBytes is the larger of the program's account of its cache and the growth of its resident memory.
func entryBytes(r *Results) (figure.Spread, error) {
	s := r.Series(scenario.Memory, r.Ours())
	spread, err := figure.Combine(func(turn int) (float64, bool) {
		own, ok := s[turn][figure.EntryBytes]
		grown, ok2 := s[turn][figure.EntryRSS]
		return math.Max(own, grown), ok && ok2
	}, len(s))
	return spread, missing(err, r.Ours()+" in h")
}

// defaultEngine is the rate of io_uring, the default, over recvmmsg's, per CPU time: misses are bound by the backend.
func defaultEngine(name figure.Name) func(*Results) (figure.Spread, error) {
	return func(r *Results) (figure.Spread, error) {
		s := r.Series(scenario.Engines, server.URing).Of(name)
		if s.Turns == 0 {
			return s, fmt.Errorf("%w: %s in m", figure.ErrNotMeasured, name)
		}
		return s, nil
	}
}

func aloneOverEcho(r *Results) (figure.Spread, error) {
	spread, err := figure.Ratio(r.Series(scenario.Alone, r.Ours()), r.Series(scenario.Alone, server.Echo), figure.Alone50)
	return spread, missing(err, r.Ours()+" and echo in k")
}
