package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// column of a table: empty where nothing was measured.
type column struct {
	title string
	cell  func(*Results, *Scenario, *Row) string
}

// of a figure: the median, after a scale.
func of(title, format string, name figure.Name, scale float64) column {
	return column{title, func(_ *Results, _ *Scenario, row *Row) string {
		s, ok := row.Summary[name]
		if !ok {
			return ""
		}
		return fmt.Sprintf(format, s.Median*scale)
	}}
}

// withSpread is a figure's median and its extremes.
func withSpread(title, format string, name figure.Name, scale float64) column {
	return column{title, func(_ *Results, _ *Scenario, row *Row) string {
		s, ok := row.Summary[name]
		if !ok {
			return ""
		}
		text := fmt.Sprintf(format, s.Median*scale)
		if s.Turns > 1 {
			text += fmt.Sprintf(" ("+format+".."+format+")", s.Min*scale, s.Max*scale)
		}
		return text
	}}
}

// ratio of a figure to another program's, turn by turn; inverse where less is better, so that above 1 is always better.
func ratio(title, program string, name figure.Name, inverse bool) column {
	return column{title, func(_ *Results, s *Scenario, row *Row) string {
		a, b := row.Turns, s.Of(program).Turns
		if inverse {
			a, b = b, a
		}
		spread, err := figure.Ratio(a, b, name)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%.2f", spread.Median)
	}}
}

var (
	speedColumns = []column{
		withSpread("kq/s", "%.0f", figure.QPS, 1e-3),
		withSpread("CPU us/q", "%.2f", figure.CPU, 1), of("user", "%.2f", figure.User, 1), of("system", "%.2f", figure.System, 1),
		ratio("x tuned", server.DnsdistTuned, figure.CPU, true), ratio("x echo", server.Echo, figure.CPU, true),
		of("p50", "%.0f", figure.Half50, 1), of("p99", "%.0f", figure.Half99, 1), of("p99.9 us", "%.0f", figure.Half999, 1),
		of("RSS MiB", "%.0f", figure.RSS, 1), of("busy %", "%.0f", figure.Busy, 100), of("gen %", "%.0f", figure.Generator, 100),
		of("lost %", "%.2f", figure.Lost, 100),
	}
	hitColumns   = []column{of("hits %", "%.1f", figure.HitRatio, 100), of("LRU %", "%.1f", figure.LRUHitRatio, 100)}
	alikeColumns = []column{of("(a) alike: hits %", "%.1f", figure.AlikeHitRatio, 100), of("kq/s", "%.0f", figure.AlikeQPS, 1e-3), of("CPU us/q", "%.2f", figure.AlikeCPU, 1)}
	backendCol   = []column{of("backend us/q", "%.2f", figure.Backend, 1)}
)

// columns of a scenario.
func columns(id string) []column {
	switch {
	case id == scenario.Flood:
		return []column{
			of("capacity kq/s", "%.0f", figure.QPS, 1e-3), of("offered x", "%.2f", figure.Offered, 1),
			withSpread("goodput x", "%.2f", figure.Goodput, 1), withSpread("light lost %", "%.1f", figure.LightLost, 100),
			of("light p50 us", "%.0f", figure.Light50, 1), withSpread("light p99 us", "%.0f", figure.Light99, 1), of("RSS MiB", "%.0f", figure.RSS, 1),
		}
	case id == scenario.Memory:
		return []column{
			of("B/entry, own account", "%.1f", figure.EntryBytes, 1), of("B/entry, RSS", "%.1f", figure.EntryRSS, 1),
			of("entries", "%.0f", figure.Entries, 1), of("RSS MiB", "%.0f", figure.RSS, 1),
		}
	case id == scenario.Engines:
		return []column{
			withSpread("recvmmsg/io_uring CPU: hits", "%.2f", figure.EngineHits, 1), withSpread("misses over Do53", "%.2f", figure.EngineMissUDP, 1),
			withSpread("misses over DoT", "%.2f", figure.EngineMissTLS, 1),
		}
	case id == scenario.Startup:
		return []column{
			withSpread("first answer ms", "%.1f", figure.StartMs, 1), of("CPU ms", "%.0f", figure.StartCPU, 1), of("RSS MiB", "%.0f", figure.RSS, 1),
			withSpread("reload ms", "%.1f", figure.ReloadMs, 1), of("lost", "%.0f", figure.ReloadLost, 1), of("longest us", "%.0f", figure.ReloadMax, 1),
		}
	case id == scenario.Alone:
		return []column{
			withSpread("p50 us", "%.1f", figure.Alone50, 1), of("p99 us", "%.1f", figure.Alone99, 1), of("CPU us/q", "%.2f", figure.CPU, 1),
			ratio("p50 x echo", server.Echo, figure.Alone50, true),
		}
	case id == scenario.Pauses:
		return []column{
			withSpread("p99.9 us calm", "%.0f", figure.Calm999, 1), withSpread("with scrapes", "%.0f", figure.Scrape999, 1),
			withSpread("with reloads", "%.0f", figure.Reload999, 1), withSpread("with dumps", "%.0f", figure.Dump999, 1),
			withSpread("with reloads of a policy", "%.0f", figure.Policy999, 1), of("of these", "%.0f", figure.Policies, 1), withSpread("with GC", "%.0f", figure.GC999, 1),
			of("GC cycles", "%.0f", figure.GCCycles, 1),
		}
	case id == scenario.Zipf:
		return slices.Concat(speedColumns, hitColumns, alikeColumns)
	case id == scenario.ZipfCached:
		return slices.Concat(speedColumns, hitColumns)
	case strings.HasPrefix(id, "c") || strings.HasPrefix(id, "d") || strings.HasPrefix(id, "e"):
		return slices.Concat(speedColumns, backendCol)
	}
	return speedColumns
}

// measured tells whether any program has a turn, or a reason for having none.
func (s *Scenario) measured() bool {
	for i := range s.Rows {
		if len(s.Rows[i].Turns) > 0 || len(s.Rows[i].Notes) > 0 {
			return true
		}
	}
	return false
}

// cells of one scenario: a header, then a row per program. Columns that nobody has a value for are left out.
func (r *Results) cells(s *Scenario) [][]string {
	rows := make([][]string, len(s.Rows)+1)
	rows[0] = []string{"program"}
	for i := range s.Rows {
		rows[i+1] = []string{r.Title(s.Rows[i].Program)}
	}
	for _, c := range columns(s.ID) {
		filled := false
		texts := make([]string, len(s.Rows))
		for i := range s.Rows {
			texts[i] = c.cell(r, s, &s.Rows[i])
			filled = filled || texts[i] != ""
		}
		if !filled {
			continue
		}
		rows[0] = append(rows[0], c.title)
		for i, text := range texts {
			rows[i+1] = append(rows[i+1], text)
		}
	}
	return rows
}

// WriteText prints everything for a terminal.
func (r *Results) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", r.Fingerprint())
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		fmt.Fprintf(&b, "\n(%s) %s: %s\n    %s\n", s.ID, s.Title, s.Question, s.Load)
		if !s.measured() {
			b.WriteString("  not run\n")
			continue
		}
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, row := range r.cells(s) {
			fmt.Fprintln(table, "  "+strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("print table: %w", err)
		}
		for j := range s.Rows {
			for _, note := range s.Rows[j].Notes {
				fmt.Fprintf(&b, "  %s: %s\n", s.Rows[j].Program, note)
			}
		}
	}
	fmt.Fprintf(&b, "\nBars (median of the turns, fewest..most; \"rate\" is the worse of queries/s and queries per second of CPU time):\n")
	for i := range r.Verdicts {
		fmt.Fprintf(&b, "  %s\n", &r.Verdicts[i])
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "Note: %s\n", note)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

// Fingerprint is the machine, the run and all versions, in a few lines.
func (r *Results) Fingerprint() string {
	var b strings.Builder
	m := &r.Machine
	virtual := ""
	if m.Hypervisor {
		virtual = ", virtual"
	}
	fmt.Fprintf(&b, "%s, commit %s, %d turns of %v closed loop and %v open loop\n", r.Started.Format("2006-01-02 15:04 MST"), r.Commit, r.Settings.Turns, r.Settings.Full, r.Settings.Half)
	fmt.Fprintf(&b, "%s, %d CPUs%s, %d MiB, Linux %s, %d CPU vulnerabilities mitigated, rmem_max %d, load before %.2f\n", m.CPU, m.CPUs, virtual, m.MemoryMiB, m.Kernel, m.Affected(), m.RmemMax, m.LoadAverage)
	fmt.Fprintf(&b, "server on CPU %v, generator on %v, backend on %v; loopback\n", r.Layout.Server, r.Layout.Generator, r.Layout.Backend)
	for _, p := range r.Programs {
		if p.Missing != "" {
			fmt.Fprintf(&b, "MISSING %s: %s\n", p.Title, p.Missing)
			continue
		}
		fmt.Fprintf(&b, "%s: %s; ", p.Title, p.Version)
	}
	return strings.TrimSuffix(b.String(), "; ")
}
