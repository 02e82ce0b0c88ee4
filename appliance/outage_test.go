package appliance

import (
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
)

// TestOutageOfPool: the loss of a pool's last upstream is one line and a figure, its return another, over reloads too.
func TestOutageOfPool(t *testing.T) {
	var book logBook
	w := newWatch(slog.New(slog.NewTextHandler(&book, nil)))
	defer w.close()
	a, stateA := watched("tls://a")
	b, stateB := watched("tls://b")
	a.upstream.Pools, b.upstream.Pools = []string{"default", "corp"}, []string{"default"}
	up := func(s *health.State) { s.Up(); s.Allow(int64(transport.Now())); s.Succeeded(int64(transport.Now()), 0) }
	down := func(s *health.State) { s.Down(errors.New("refused")) }
	for _, step := range []struct {
		name         string
		do           func()
		lines        string
		corp, common int // in use
	}{
		{"at the start", func() { w.follow([]entry{a, b}) }, "", 1, 2},
		{"the only one of a pool", func() { down(stateA) }, `level=ERROR msg="no upstream of the pool works: its queries fare as when_down says" pool=corp upstreams=1`, 0, 1},
		{"a reload", func() { w.follow([]entry{b, a}) }, "", 0, 1},
		{"all", func() { down(stateB) }, `level=ERROR msg="no upstream of the pool works: its queries fare as when_down says" pool=default upstreams=2`, 0, 0},
		{"still", func() {}, "", 0, 0},
		{
			"one is back", func() { up(stateA) }, `level=INFO msg="the pool has a working upstream again" pool=default upstreams=2 up=1` + "|" +
				`level=INFO msg="the pool has a working upstream again" pool=corp upstreams=1 up=1`, 1, 1,
		},
	} {
		before := len(book.String())
		step.do()
		w.read()
		var lines []string
		for line := range strings.Lines(regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(book.String()[before:], "")) {
			if strings.Contains(line, "pool=") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(lines, "|"); got != step.lines {
			t.Errorf("%s:\ngot  %q\nwant %q", step.name, got, step.lines)
		}
		want := []telemetry.PoolUpstreams{{Pool: "corp", All: 1, Up: step.corp}, {Pool: "default", All: 2, Up: step.common}}
		got := w.poolsUp()
		slices.SortFunc(got, func(a, b telemetry.PoolUpstreams) int { return strings.Compare(a.Pool, b.Pool) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", step.name, got, want)
		}
	}
}
