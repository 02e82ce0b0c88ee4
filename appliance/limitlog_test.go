package appliance

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/worker"
)

// TestLimitsAreLogged: who is limited, from when to when, and not too often.
func TestLimitsAreLogged(t *testing.T) {
	var out bytes.Buffer
	l := newLimitLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Now()
	see := func(after time.Duration, sources ...worker.LimitedSource) string {
		out.Reset()
		now = now.Add(after)
		l.see(sources, now)
		return out.String()
	}
	one := worker.LimitedSource{Limit: "ipv4_32", Prefix: netip.MustParsePrefix("192.0.2.1/32")}
	network := worker.LimitedSource{Limit: "answers", Prefix: netip.MustParsePrefix("2001:db8::/56"), Replies: true}
	expect := func(got string, lines int, parts ...string) {
		t.Helper()
		if strings.Count(got, "\n") != lines {
			t.Errorf("%d lines, want %d:\n%s", strings.Count(got, "\n"), lines, got)
		}
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("no %q in:\n%s", part, got)
			}
		}
	}
	expect(see(0), 0)
	expect(see(time.Second, one), 1, "level=WARN", "queries are held back", "source=192.0.2.1", "limit=ipv4_32", "limits.exempt")
	expect(see(time.Second, one), 0)
	expect(see(time.Second, one, network), 1, "replies are held back", "source=2001:db8::/56", "limit=answers", "victim")
	expect(see(time.Minute, network), 1, "level=INFO", "no longer over its limit", "source=192.0.2.1", "lasted=1m2s")
	expect(see(time.Second), 1, "source=2001:db8::/56")
	var many []worker.LimitedSource
	for i := range 3 * limitLines {
		many = append(many, worker.LimitedSource{Limit: "ipv4_32", Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/32", i))})
	}
	now = now.Add(limitLinesTime)
	expect(see(time.Second, many...), limitLines)
	expect(see(time.Second), limitLines, "no longer")
	expect(see(limitLinesTime, one), 1, fmt.Sprintf("others_since_the_last_line=%d", 2*limitLines))
	if len(l.active) != 1 || len(l.recent) > limitLines {
		t.Errorf("%d sources and %d lines are remembered", len(l.active), len(l.recent))
	}
}
