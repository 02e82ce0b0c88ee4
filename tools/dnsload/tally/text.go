package tally

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteText prints the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	load := fmt.Sprintf("closed loop, window %d", r.Window)
	if r.Rate > 0 {
		load = fmt.Sprintf("open loop, %.0f queries/s", r.Rate)
	}
	fmt.Fprintf(&b, "target     %s over %s, %d flows, %s\n", r.Target, r.Transport, r.Flows, load)
	fmt.Fprintf(&b, "names      %s, seed %d\n", r.Names, r.Seed)
	fmt.Fprintf(&b, "measured   %.3f s: %d queries, %d answered, %d lost (%.4f %%)\n", r.Seconds, r.Queries, r.Answered, r.Lost, percent(r.Lost, r.Queries))
	fmt.Fprintf(&b, "rate       %.0f answers/s\n", r.QPS)
	fmt.Fprintf(&b, "latency    %s\n", r.LatencyUs.text())
	if r.LagUs != nil {
		fmt.Fprintf(&b, "send lag   %s; %d not sent\n", r.LagUs.text(), r.Unsent)
	}
	var codes []string
	for _, name := range slices.Sorted(maps.Keys(r.Rcodes)) {
		codes = append(codes, fmt.Sprintf("%s %d", name, r.Rcodes[name]))
	}
	fmt.Fprintf(&b, "answers    %s; truncated %d\n", strings.Join(codes, ", "), r.Truncated)
	fmt.Fprintf(&b, "ignored    %d wrong (id %d, question %d, case %d, malformed %d), %d late, %d duplicate\n",
		r.Wrong, r.WrongID, r.WrongQuestion, r.WrongCase, r.Malformed, r.Late, r.Duplicate)
	if r.Unreachable > 0 {
		fmt.Fprintf(&b, "unreached  %d times the target refused: does a server listen there?\n", r.Unreachable)
	}
	if r.Reconnects > 0 {
		fmt.Fprintf(&b, "reconnects %d\n", r.Reconnects)
	}
	fmt.Fprintf(&b, "generator  %.1f %% of %d CPU (user %.2f s, system %.2f s, waited %.2f s)\n", 100*r.CPU.Share, r.CPUs, r.CPU.UserS, r.CPU.SystemS, r.CPU.WaitedS)
	if r.Bound {
		fmt.Fprintf(&b, "GENERATOR-BOUND: %s\n", r.BoundReason)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (q *Quantiles) text() string {
	return fmt.Sprintf("p50 %.0f us, p90 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us", q.P50, q.P90, q.P99, q.P999, q.Max)
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
