package telemetry

import (
	"testing"

	"secure-dns-proxy/transport/tier"
)

// someRemote has a figure of its own for everything.
func someRemote() tier.Stats {
	return tier.Stats{Connects: 31, ConnectErrors: 32, Asks: 33, GetErrors: 34, Expired: 35, Broken: 36, Forgotten: 39, Stored: 37, SetErrors: 38}
}

func TestRemoteCacheOnThePage(t *testing.T) {
	f := sample()
	s := &f.stats
	s.TierAsked, s.TierSkipped, s.TierRefused, s.TierHits, s.TierMisses, s.TierInvalid = 1, 2, 3, 4, 5, 6
	s.TierLate, s.TierLateHits, s.TierErrors, s.TierFills, s.TierFillsDropped, s.TierOuts, s.TierOut = 7, 8, 9, 10, 11, 12, 13
	s.TierLatency.Count[0], s.TierLatency.SumNS = 14, 2_000_000_000
	got := scrape(t, f)
	for series, want := range map[string]string{
		`sdp_remote_cache_asked_total`:                             "1",
		`sdp_remote_cache_unasked_total{reason="out"}`:             "2",
		`sdp_remote_cache_unasked_total{reason="full"}`:            "3",
		`sdp_remote_cache_results_total{result="hit"}`:             "4",
		`sdp_remote_cache_results_total{result="miss"}`:            "5",
		`sdp_remote_cache_results_total{result="invalid"}`:         "6",
		`sdp_remote_cache_results_total{result="late"}`:            "7",
		`sdp_remote_cache_late_hits_total`:                         "8",
		`sdp_remote_cache_results_total{result="error"}`:           "9",
		`sdp_remote_cache_fills_total`:                             "10",
		`sdp_remote_cache_fills_dropped_total`:                     "11",
		`sdp_remote_cache_taken_out_total`:                         "12",
		`sdp_remote_cache_out_workers`:                             "13",
		`sdp_remote_cache_duration_seconds_count`:                  "14",
		`sdp_remote_cache_duration_seconds_sum`:                    "2",
		`sdp_remote_cache_connects_total`:                          "31",
		`sdp_remote_cache_connect_errors_total`:                    "32",
		`sdp_remote_cache_read_total`:                              "33",
		`sdp_remote_cache_read_errors_total`:                       "34",
		`sdp_remote_cache_unusable_values_total{reason="expired"}`: "35",
		`sdp_remote_cache_unusable_values_total{reason="broken"}`:  "36",
		`sdp_remote_cache_unusable_values_total{reason="flushed"}`: "39",
		`sdp_remote_cache_stored_total`:                            "37",
		`sdp_remote_cache_store_errors_total`:                      "38",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
