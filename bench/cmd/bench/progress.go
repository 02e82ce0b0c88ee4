package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/session"
)

func log(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", arguments...)
}

// shown figures of a turn, in this order, those that it has.
var shown = []struct {
	name   figure.Name
	format string
	scale  float64
}{
	{figure.QPS, "%.0f kq/s", 1e-3},
	{figure.CPU, "%.2f us/q", 1},
	{figure.User, "(user %.2f)", 1},
	{figure.Lost, "lost %.2f %%", 100},
	{figure.HitRatio, "hits %.1f %%", 100},
	{figure.Half99, "half-load p99 %.0f us", 1},
	{figure.Goodput, "goodput %.2f", 1},
	{figure.LightLost, "light client lost %.1f %%", 100},
	{figure.EntryRSS, "%.0f B/entry", 1},
	{figure.StartMs, "first answer %.1f ms", 1},
	{figure.ReloadMs, "reload %.1f ms", 1},
	{figure.Bound, "", 1},
}

// showStep prints one line per turn.
func showStep(s session.Step) {
	var words []string
	for _, f := range shown {
		v, ok := s.Sample[f.name]
		switch {
		case f.name == figure.Bound && v > 0:
			words = append(words, "GENERATOR-BOUND")
		case ok && f.format != "":
			words = append(words, fmt.Sprintf(f.format, v*f.scale))
		}
	}
	if s.Err != nil {
		first, _, _ := strings.Cut(s.Err.Error(), "\n")
		words = append(words, "failed: "+first)
	}
	fmt.Fprintf(os.Stderr, "[%3d/%d, %v left] (%s) turn %d %-13s %s\n", s.Done, s.Steps, s.Left.Round(time.Second), s.Scenario, s.Turn+1, s.Program,
		strings.Join(words, ", "))
}
