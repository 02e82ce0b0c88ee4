package telemetry

import (
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
	s.InspectAsked, s.InspectPassed, s.InspectOnce, s.InspectAnswered, s.InspectDropped = 1, 2, 3, 4, 5
	s.InspectLate, s.InspectFailed, s.InspectFull, s.InspectDenied = 6, 7, 8, 9
	s.InspectLatency.Count[0], s.InspectLatency.SumNS = 10, 2_000_000_000
	got := scrape(t, f)
	for series, want := range map[string]string{
		`sdp_inspection_asked_total`:                      "1",
		`sdp_inspection_verdicts_total{verdict="pass"}`:   "2",
		`sdp_inspection_verdicts_total{verdict="once"}`:   "3",
		`sdp_inspection_verdicts_total{verdict="answer"}`: "4",
		`sdp_inspection_verdicts_total{verdict="drop"}`:   "5",
		`sdp_inspection_missing_total{reason="late"}`:     "6",
		`sdp_inspection_missing_total{reason="failed"}`:   "7",
		`sdp_inspection_missing_total{reason="full"}`:     "8",
		`sdp_inspection_denied_total`:                     "9",
		`sdp_inspection_duration_seconds_count`:           "10",
		`sdp_inspection_duration_seconds_sum`:             "2",
		`sdp_inspection_errors_total{kind="expired"}`:     "71",
		`sdp_inspection_errors_total{kind="failed"}`:      "72",
		`sdp_inspection_errors_total{kind="panic"}`:       "73",
		`sdp_inspection_errors_total{kind="unopened"}`:    "74",
		`sdp_inspection_errors_total{kind="resting"}`:     "75",
		`sdp_inspection_rests_total`:                      "76",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
