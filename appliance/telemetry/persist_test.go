package telemetry

import "testing"

func someKept() *Kept {
	kept := new(Kept)
	kept.Written.Store(3)
	kept.Failed.Store(1)
	kept.Answers.Store(40)
	kept.Bytes.Store(4000)
	kept.Took.Store(250e6)
	kept.At.Store(1_700_000_000e9)
	kept.Loaded.Store(30)
	kept.Expired.Store(4)
	kept.Known.Store(2)
	kept.Lost.Store(1)
	kept.Damaged.Store(1)
	return kept
}

func TestKept(t *testing.T) {
	got := scrape(t, sample())
	for series, want := range map[string]string{
		`sdp_cache_dumps_total{result="written"}`: "3",
		`sdp_cache_dumps_total{result="failed"}`:  "1",
		`sdp_cache_dump_answers`:                  "40",
		`sdp_cache_dump_bytes`:                    "4000",
		`sdp_cache_dump_duration_seconds`:         "0.25",
		`sdp_cache_dump_timestamp_seconds`:        "1.7e+09",
		`sdp_cache_loads_total{result="loaded"}`:  "30",
		`sdp_cache_loads_total{result="expired"}`: "4",
		`sdp_cache_loads_total{result="known"}`:   "2",
		`sdp_cache_loads_total{result="lost"}`:    "1",
		`sdp_cache_damaged_files_total`:           "1",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}
