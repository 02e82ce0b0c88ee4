package telemetry

import (
	"fmt"
	"testing"

	"secure-dns-proxy/worker/inspect"
)

// someInspection has a figure of its own for everything.
func someInspection() inspect.Figures {
	return inspect.Figures{Expired: 71, Failed: 72, Panicked: 73, Unopened: 74, Rested: 75, Rests: 76}
}

func TestInspectionOnThePage(t *testing.T) {
	f := sample()
	s := &f.stats
	for at := range s.Inspect {
		i, n := &s.Inspect[at], uint64(100*at)
		i.Asked, i.Recalled, i.Passed, i.Once, i.Answered, i.Dropped = n+1, n+11, n+2, n+3, n+4, n+5
		i.Late, i.Failed, i.Full, i.Denied = n+6, n+7, n+8, n+9
		i.Latency.Count[0], i.Latency.SumNS = n+10, (n+2)*1_000_000_000
	}
	s.VerdictsKept, s.VerdictsDisplaced = 501, 502
	got := scrape(t, f)
	for at, point := range []string{"miss", "query", "response"} {
		for series, want := range map[string]int{
			`sdp_inspection_asked_total{point="%s"}`:                     1,
			`sdp_inspection_recalled_total{point="%s"}`:                  11,
			`sdp_inspection_verdicts_total{point="%s",verdict="pass"}`:   2,
			`sdp_inspection_verdicts_total{point="%s",verdict="once"}`:   3,
			`sdp_inspection_verdicts_total{point="%s",verdict="answer"}`: 4,
			`sdp_inspection_verdicts_total{point="%s",verdict="drop"}`:   5,
			`sdp_inspection_missing_total{point="%s",reason="late"}`:     6,
			`sdp_inspection_missing_total{point="%s",reason="failed"}`:   7,
			`sdp_inspection_missing_total{point="%s",reason="full"}`:     8,
			`sdp_inspection_denied_total{point="%s"}`:                    9,
			`sdp_inspection_duration_seconds_count{point="%s"}`:          10,
			`sdp_inspection_duration_seconds_sum{point="%s"}`:            2,
		} {
			if series = fmt.Sprintf(series, point); got[series] != fmt.Sprint(100*at+want) {
				t.Errorf("%s: got %q, want %d", series, got[series], 100*at+want)
			}
		}
	}
	for series, want := range map[string]string{
		`sdp_inspection_verdicts_kept_total`:           "501",
		`sdp_inspection_verdicts_displaced_total`:      "502",
		`sdp_inspection_errors_total{kind="expired"}`:  "71",
		`sdp_inspection_errors_total{kind="failed"}`:   "72",
		`sdp_inspection_errors_total{kind="panic"}`:    "73",
		`sdp_inspection_errors_total{kind="unopened"}`: "74",
		`sdp_inspection_errors_total{kind="resting"}`:  "75",
		`sdp_inspection_rests_total`:                   "76",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
