package tally

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/tools/dnsload/pending"
)

func counts() *Counts {
	c := &Counts{Queries: 100, Lost: 10, Unsent: 0, Unreachable: 1, Reconnects: 2}
	for range 90 {
		c.Answer([]byte{0, 0, 0x82, 0x83}, 1_000_000) // TC, NXDOMAIN
	}
	c.Verdicts = [pending.Verdicts]uint64{
		pending.Answer: 90, pending.WrongID: 1, pending.WrongQuestion: 2, pending.WrongCase: 3, pending.Malformed: 4,
		pending.Late: 5, pending.Duplicate: 6,
	}
	return c
}

// usage is one second during which the process used so much.
func usage(user, system, waited time.Duration) Measurement {
	at := time.Unix(1, 0)
	return Measurement{
		Started: at, Seconds: 1, First: Usage{At: at},
		Last: Usage{At: at.Add(time.Second), User: user, System: system, Waited: waited},
	}
}

func TestReport(t *testing.T) {
	set := Setting{Target: "127.0.0.1:53", Transport: "udp", Mode: "closed", Window: 8, Flows: 4, CPUs: 1}
	r := NewReport(set, usage(100*time.Millisecond, 400*time.Millisecond, 0), counts())
	if r.Queries != 100 || r.Answered != 90 || r.Lost != 10 || r.QPS != 90 || r.Truncated != 90 || r.Rcodes["NXDOMAIN"] != 90 {
		t.Errorf("got %+v", r)
	}
	if r.Wrong != 10 || r.WrongID != 1 || r.WrongQuestion != 2 || r.WrongCase != 3 || r.Malformed != 4 || r.Late != 5 || r.Duplicate != 6 {
		t.Errorf("got %+v", r)
	}
	if r.LatencyUs.Max != 1000 || r.LatencyUs.P50 != 1000 || r.LagUs != nil {
		t.Errorf("got latency %+v, lag %+v", r.LatencyUs, r.LagUs)
	}
	if r.CPU.Share != 0.5 || r.Bound {
		t.Errorf("got %+v, bound %v", r.CPU, r.Bound)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"90 answers/s", "10 lost", "NXDOMAIN 90", "case 3", "5 late", "p99.9 1000 us", "50.0 % of 1 CPU"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "GENERATOR-BOUND") {
		t.Errorf("got\n%s", &text)
	}
}

func TestGeneratorBound(t *testing.T) {
	for _, c := range []struct {
		name     string
		rate     float64
		spin     bool
		unsent   uint64
		measured Measurement
		want     string // in the reason; "" = not bound
	}{
		{"closed, idle", 0, false, 0, usage(0, 960*time.Millisecond, 0), ""},
		{"closed, busy", 0, false, 0, usage(170*time.Millisecond, 800*time.Millisecond, 0), "busy"},
		{"closed, others busy", 0, false, 0, usage(0, 500*time.Millisecond, 480*time.Millisecond), "other programs"},
		{"closed, spinning", 0, true, 0, usage(0, time.Second, 0), ""},
		{"open, busy", 100, false, 1, usage(0, time.Second, 0), ""},
		{"open, behind", 100, false, 2, usage(0, 500*time.Millisecond, 0), "not sent"},
	} {
		n := counts()
		n.Unsent = c.unsent
		r := NewReport(Setting{Rate: c.rate, Spin: c.spin, CPUs: 1}, c.measured, n)
		if r.Bound != (c.want != "") || !strings.Contains(r.BoundReason, c.want) {
			t.Errorf("%s: got %v, %q, want %q", c.name, r.Bound, r.BoundReason, c.want)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text.String(), "GENERATOR-BOUND"); got != r.Bound {
			t.Errorf("%s: text says bound: %v, want %v", c.name, got, r.Bound)
		}
	}
}

// Programs read these names: a change here is a change for them.
func TestJSONShape(t *testing.T) {
	set := Setting{Rate: 5, CPUs: 1}
	var out bytes.Buffer
	if err := NewReport(set, usage(0, 0, 0), counts()).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	check := func(what string, value any, want ...string) {
		object, ok := value.(map[string]any)
		if !ok {
			t.Fatalf("%s: got %v, want an object", what, value)
		}
		if keys := slices.Sorted(maps.Keys(object)); !slices.Equal(keys, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: got %v, want %v", what, keys, want)
		}
	}
	check("report", got,
		"target", "transport", "mode", "window", "rate", "flows", "cpus", "spin", "names", "seed", "started", "seconds",
		"queries", "answered", "lost", "unsent", "wrong", "wrong_id", "wrong_question", "wrong_case", "malformed", "late",
		"duplicate", "truncated", "unreachable", "reconnects", "rcodes", "qps", "latency_us", "lag_us", "cpu",
		"generator_bound", "generator_bound_reason")
	quantiles := []string{"min", "mean", "p50", "p90", "p99", "p999", "max"}
	check("latency_us", got["latency_us"], quantiles...)
	check("lag_us", got["lag_us"], quantiles...)
	check("cpu", got["cpu"], "user_s", "system_s", "waited_s", "share")
	check("rcodes", got["rcodes"], "NXDOMAIN")
}

func TestMerge(t *testing.T) {
	a, b := counts(), counts()
	b.LastNs = 7
	a.Merge(b)
	if a.Queries != 200 || a.Answered != 180 || a.Lost != 20 || a.Rcodes[3] != 180 || a.Verdicts[pending.Late] != 10 ||
		a.Truncated != 180 || a.Unreachable != 2 || a.Reconnects != 4 || a.LastNs != 7 || a.Latency.Total() != 180 {
		t.Errorf("got %+v", a)
	}
}

func TestReadUsage(t *testing.T) {
	before, err := ReadUsage(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for after := before; after.User+after.System == before.User+before.System; n++ {
		if after, err = ReadUsage([]int{1 << 30}); err != nil { // a thread that is gone
			t.Fatal(err)
		}
		if n > 1_000_000 {
			t.Fatal("the processor time stands still")
		}
	}
}

func TestUsageBefore(t *testing.T) {
	now := time.Now()
	u := Usage{At: now, User: time.Second, System: time.Second}
	for _, c := range []struct {
		other Usage
		want  bool
	}{
		{u, false},
		{Usage{At: now.Add(1), User: u.User, System: u.System}, true},
		{Usage{At: now.Add(-1), User: u.User, System: u.System + 1}, true}, // its clock was read late
		{Usage{At: now.Add(-1), User: u.User - 1, System: u.System}, false},
	} {
		if got := u.Before(c.other); got != c.want {
			t.Errorf("%+v before %+v: %v", u, c.other, got)
		}
	}
}
