package appliance

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/admission"
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

// TestSheddingIsLogged: when questions are no longer asked, of whom, and when all are again.
func TestSheddingIsLogged(t *testing.T) {
	var out bytes.Buffer
	l := newOverloadLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Now()
	active := &worker.Shedding{Worker: 1, Active: true, Answered: 1000, Heavy: []worker.HeavyAsker{
		{Zone: []byte("\x06victim\x07example\x00"), Share: 0.9},
		{Zone: []byte{}, Share: 0.5},
		{Source: admission.Source{Bits: 0xC0000201}, Share: 0.25},
	}}
	for _, tt := range []struct {
		after  time.Duration
		report *worker.Shedding
		want   []string
	}{
		{0, active, []string{"level=WARN", "worker=1", "answered=1000/s", "zone victim.example., 90.0% not asked; a zone, 50.0% not asked; client 192.0.2.1, 25.0% not asked"}},
		{time.Minute, active, nil},
		{time.Second, &worker.Shedding{Worker: 1}, []string{"room for all questions again", "lasted=1m1s"}},
		{overloadPause / 2, active, nil},
		{overloadPause, &worker.Shedding{Worker: 1, Active: true}, []string{"no few clients or zones are to blame"}},
	} {
		out.Reset()
		now = now.Add(tt.after)
		l.seeShedding([]*worker.Shedding{tt.report}, now)
		got := out.String()
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in: %s", want, got)
			}
		}
		if tt.want == nil && got != "" {
			t.Errorf("a line too many: %s", got)
		}
	}
}
