package appliance

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/worker"
)

// TestOverloadsAreLogged: when one begins, with its sources, and when it ends, and not more often than every overloadPause for each worker.
func TestOverloadsAreLogged(t *testing.T) {
	var out bytes.Buffer
	l := newOverloadLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Now()
	active := &worker.Overload{
		Worker: 1, Active: true, Offered: 500_000, Capacity: 250_000, Kernel: true, Refused: []worker.RefusedSource{
			{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Offered: 400_000, Share: 0.625},
			{Prefix: netip.MustParsePrefix("2001:db8::/64"), Offered: 90_000, Share: 0.1},
		},
	}
	over := &worker.Overload{Worker: 1}
	see := func(after time.Duration, reports ...*worker.Overload) string {
		out.Reset()
		now = now.Add(after)
		l.see(reports, now)
		return out.String()
	}
	if got := see(0); got != "" {
		t.Errorf("without any report: %s", got)
	}
	got := see(time.Second, active)
	for _, want := range []string{
		"level=WARN", "worker=1", "offered=500000/s", "capacity=250000/s", "192.0.2.1 400000/s, 62.5% refused", "2001:db8::/64 90000/s, 10.0% refused", "in_kernel=true",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in: %s", want, got)
		}
	}
	for _, tt := range []struct {
		name    string
		after   time.Duration
		reports []*worker.Overload
		want    string // nothing: no line
	}{
		{"the same again", time.Minute, []*worker.Overload{active}, ""},
		{"over", time.Second, []*worker.Overload{over}, "overload is over"},
		{"again, too soon", overloadPause / 2, []*worker.Overload{active}, ""},
		{"over again, nothing was said", overloadPause / 4, []*worker.Overload{over}, ""},
		{"again", overloadPause, []*worker.Overload{active}, "the heaviest sources"},
		{"another worker, nobody to blame", 0, []*worker.Overload{active, {Worker: 0, Active: true}}, "from no few sources"},
		{
			"by hand", overloadPause,
			[]*worker.Overload{over, {Worker: 2, Active: true, Refused: active.Refused, Reason: "not permitted"}},
			"the kernel does not let us",
		},
		{"by hand, on another worker", overloadPause, []*worker.Overload{{Worker: 3, Active: true, Refused: active.Refused, Reason: "not permitted"}}, "in_kernel=false"},
	} {
		got := see(tt.after, tt.reports...)
		if (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: want %q, got: %s", tt.name, tt.want, got)
		}
		if tt.name == "by hand, on another worker" && strings.Contains(got, "does not let us") {
			t.Errorf("the reason a second time: %s", got)
		}
	}
}
