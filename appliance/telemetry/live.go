package telemetry

import (
	"fmt"
	"math"
	"time"

	"secure-dns-proxy/worker"
)

// Sample is the figures at one moment.
type Sample struct {
	At       time.Time
	Stats    worker.Stats
	Upstream worker.Histogram // latency of all upstreams together
}

// Take reads a sample.
func Take(source Source) Sample {
	s := Sample{At: time.Now(), Stats: source.Stats()}
	for _, r := range source.Upstreams() {
		for i, n := range r.Stats.Latency.Count {
			s.Upstream.Count[i] += n
		}
	}
	return s
}

// Line says what happened between two samples, in about 100 columns.
func Line(before, now *Sample) string {
	seconds := now.At.Sub(before.At).Seconds()
	queries := now.Stats.Queries() - before.Stats.Queries()
	hits := now.Stats.Hits - before.Stats.Hits
	rate := 0.0
	if seconds > 0 {
		rate = float64(queries) / seconds
	}
	ratio := "    -"
	if queries > 0 {
		ratio = fmt.Sprintf("%4.0f%%", 100*float64(min(hits, queries))/float64(queries))
	}
	latency := difference(&before.Stats.Latency, &now.Stats.Latency)
	upstream := difference(&before.Upstream, &now.Upstream)
	return fmt.Sprintf("queries %d  %6.0f/s  hits %s  p50 %s  p99 %s  upstream p50 %s  p99 %s",
		now.Stats.Queries(), rate, ratio, quantileText(&latency, 0.5), quantileText(&latency, 0.99),
		quantileText(&upstream, 0.5), quantileText(&upstream, 0.99))
}

func difference(before, now *worker.Histogram) worker.Histogram {
	var d worker.Histogram
	for i := range d.Count {
		d.Count[i] = now.Count[i] - before.Count[i]
	}
	return d
}

// quantileText is 7 columns wide: three digits and a unit, or a dash where nothing was counted.
func quantileText(h *worker.Histogram, q float64) string {
	d := h.Quantile(q)
	if d == 0 {
		return "      -"
	}
	value, unit := float64(d)/float64(time.Microsecond), "us"
	switch {
	case d >= time.Second:
		value, unit = d.Seconds(), "s"
	case d >= time.Millisecond:
		value, unit = float64(d)/float64(time.Millisecond), "ms"
	}
	digits := 2 - int(math.Log10(value))
	return fmt.Sprintf("%7s", fmt.Sprintf("%.*f%s", max(digits, 0), value, unit))
}
