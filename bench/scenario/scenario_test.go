package scenario

import (
	"math"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/proc"
)

func TestNewLayout(t *testing.T) {
	for _, c := range []struct {
		cpus                       []int
		server, generator, backend string
	}{
		{[]int{0, 1}, "0", "1", "1"},
		{[]int{2, 5, 7}, "2", "5", "7"},
		{[]int{0, 1, 2, 3, 4, 5}, "0", "1", "2,3"},
	} {
		l, err := NewLayout(c.cpus)
		if err != nil || proc.FormatCPUs(l.Server) != c.server || proc.FormatCPUs(l.Generator) != c.generator || proc.FormatCPUs(l.Backend) != c.backend {
			t.Errorf("%v: got %+v, %v, want %s, %s, %s", c.cpus, l, err, c.server, c.generator, c.backend)
		}
	}
	if _, err := NewLayout([]int{0}); err == nil {
		t.Error("one CPU: got no error")
	}
}

func TestScenarios(t *testing.T) {
	settings := Settings{Turns: 5, Full: 3 * time.Second, Half: 2 * time.Second, Entries: 1_000_000}
	seen := map[string]bool{}
	for _, s := range All(Layout{All: []int{0, 1, 2, 3, 4, 5, 6, 7}}) {
		if seen[s.ID] || s.Title == "" || s.Question == "" || s.Load == "" || s.Bar == "" || len(s.Programs) == 0 || s.Run == nil {
			t.Errorf("(%s) is there twice, or has a gap", s.ID)
		}
		seen[s.ID] = true
		if took := s.Takes(settings); took <= 0 || took > time.Minute {
			t.Errorf("(%s) takes %v per turn", s.ID, took)
		}
	}
	for _, id := range []string{Hits, MissTLS, MissTLS256, "j-1", "j-2", "j-4"} {
		if !seen[id] {
			t.Errorf("no (%s) with 8 CPUs", id)
		}
	}
	if seen["j-8"] {
		t.Error("8 workers on 8 CPUs leave none for the generator")
	}
}

func TestSample(t *testing.T) {
	m := &measurement{
		report: &load.Report{Queries: 1100, Answered: 1000, Lost: 100, Seconds: 0.5, QPS: 2000, Rcodes: map[string]uint64{"NOERROR": 990, "SERVFAIL": 10}},
		cpus:   2, forwards: true, server: proc.Usage{User: 2 * time.Millisecond, System: 8 * time.Millisecond},
		backend: proc.Usage{System: 300 * time.Microsecond}, asked: 250,
	}
	got := m.sample()
	for name, want := range map[figure.Name]float64{
		figure.QPS: 2000, figure.CPU: 10, figure.User: 2, figure.System: 8, figure.Busy: 0.01, figure.Lost: 100. / 1100, figure.Failed: 0.01,
		figure.HitRatio: 0.75, figure.Backend: 1.2, figure.Bound: 0,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}

// The oracle looks through a slice.
func TestLRU(t *testing.T) {
	const names, room = 50, 7
	l, draw := newLRU(names, room), newZipfDraws(names, 1)
	var kept []int32 // oldest first
	for i := range 5000 {
		name := draw.next()
		at := -1
		for j, k := range kept {
			if k == name {
				at = j
			}
		}
		if at >= 0 {
			kept = append(kept[:at], kept[at+1:]...)
		} else if len(kept) == room {
			kept = kept[1:]
		}
		kept = append(kept, name)
		if got := l.use(name); got != (at >= 0) {
			t.Fatalf("draw %d, name %d: got %t, want %t", i, name, got, at >= 0)
		}
	}
}

func TestZipfDraws(t *testing.T) {
	const draws = 200_000
	counts := make([]int, 100)
	for draw := range newZipfDrawsN(len(counts), draws) {
		counts[draw]++
	}
	sum := 0.0
	for r := range counts {
		sum += 1 / float64(r+1)
	}
	for _, r := range []int{0, 1, 9, 99} {
		want := draws / float64(r+1) / sum
		if got := float64(counts[r]); math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("rank %d: drawn %v times, want about %.0f", r, got, want)
		}
	}
	if ratio := lruHitRatio(1000, 1000, 100_000, 1000, 1); ratio < 0.99 {
		t.Errorf("a cache for all names, warm: hit ratio %v", ratio)
	}
}

func newZipfDrawsN(names, n int) func(func(int32) bool) {
	z := newZipfDraws(names, 7)
	return func(yield func(int32) bool) {
		for range n {
			if !yield(z.next()) {
				return
			}
		}
	}
}

func TestParseMetrics(t *testing.T) {
	got, err := parseMetrics(strings.NewReader("# HELP x y\nsdp_cache_bytes 1234\nsdp_reloads_total{result=\"applied\"} 2\n\n"))
	if err != nil || len(got) != 2 || got["sdp_cache_bytes"] != 1234 || got[`sdp_reloads_total{result="applied"}`] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseMetrics(strings.NewReader("a b\n")); err == nil {
		t.Error("a value that is no number: got no error")
	}
}

func TestNewNamesAreNew(t *testing.T) {
	b := &Bench{}
	seen := map[uint64]bool{}
	for range 40 {
		first := b.newNames()
		if seen[first] || first < hitNames || first+namesPerRun > 100_000_000 {
			t.Fatalf("names from %d on: not new, or too long", first)
		}
		seen[first] = true
	}
}
