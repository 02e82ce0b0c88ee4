package load

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:5301")
	tool := Tool{CPUs: []int{1, 3}}
	for _, c := range []struct {
		name string
		run  Run
		want string
	}{
		{
			"closed loop",
			Run{Target: target, Names: 10000, Window: 2048, Duration: 3 * time.Second},
			"-names 10000 -window 2048 -cpu 1,3",
		},
		{
			"open loop, misses",
			Run{Target: target, First: 7, Once: true, Rate: 150000.25, Duration: time.Second, Timeout: time.Second, Seed: 4},
			"-seed 4 -first 7 -rate 150000.2 -timeout 1s -once -cpu 1,3",
		},
		{
			"another type",
			Run{Target: target, Names: 10, Type: "TXT", Window: 8, Duration: time.Second},
			"-names 10 -types TXT=1 -window 8 -cpu 1,3",
		},
		{
			"hits and misses",
			Run{Target: target, Names: 10, Fresh: 0.125, FreshFirst: 5000, Window: 8, Duration: time.Second},
			"-names 10 -fresh 0.125000 -fresh-first 5000 -window 8 -cpu 1,3",
		},
		{
			"tcp, Zipf",
			Run{Target: target, Transport: "tcp", Names: 1 << 20, Zipf: 1, Window: 1024, Flows: 16, Duration: time.Second},
			"-names 1048576 -zipf 1 -window 1024 -flows 16",
		},
	} {
		got := strings.Join(tool.Arguments(c.run), " ")
		if !strings.HasSuffix(got, c.want) || !strings.Contains(got, "-target 127.0.0.1:5301") || !strings.Contains(got, "-json") {
			t.Errorf("%s: got %q, want it to end in %q", c.name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	var r Report
	text := `{"queries": 90, "answered": 80, "lost": 10, "unsent": 10, "rcodes": {"NOERROR": 60, "SERVFAIL": 20}, "latency_us": {"p99": 7.5}}`
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if r.LostShare() != 0.2 || r.FailedShare() != 0.25 || r.LatencyUs.P99 != 7.5 {
		t.Errorf("got lost %v, failed %v, p99 %v, want 0.2, 0.25, 7.5", r.LostShare(), r.FailedShare(), r.LatencyUs.P99)
	}
	if empty := (&Report{}); empty.LostShare() != 0 || empty.FailedShare() != 0 {
		t.Error("a run without queries lost some")
	}
}

// Too many names would make longer ones, and then other packets.
func TestRunRefusesLongNames(t *testing.T) {
	if _, err := (Tool{}).Run(t.Context(), Run{First: namesMax - 1, Names: 2}); err == nil {
		t.Error("got no error")
	}
}
