package appliance

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/worker"
)

func TestSkewIsLoggedOnceWithAdvice(t *testing.T) {
	var out bytes.Buffer
	j := skewJudge{log: slog.New(slog.NewTextHandler(&out, nil)), workers: 2, steering: worker.SteeringHash}
	now := time.Now()
	see := func(intervals int, skew float64, queries uint64) (warnings, recoveries int) {
		t.Helper()
		out.Reset()
		for range intervals {
			now = now.Add(trendInterval)
			j.see(telemetry.Figures{Queries: queries, Skew: skew}, now)
		}
		return strings.Count(out.String(), "far more than its share"), strings.Count(out.String(), "evenly loaded again")
	}
	for _, tt := range []struct {
		name                 string
		intervals            int
		skew                 float64
		queries              uint64
		warnings, recoveries int
	}{
		{"even", 10, 1.1, skewQueriesMin, 0, 0},
		{"little load", 10, 2, skewQueriesMin - 1, 0, 0},
		{"short", 3, 2, skewQueriesMin, 0, 0},
		{"even again, nothing was said", 1, 1, skewQueriesMin, 0, 0},
		{"lasting", 100, 1.6, skewQueriesMin, 1, 0},
		{"over", 3, 1.2, skewQueriesMin, 0, 1},
		{"again, too soon to say so", 20, 2, skewQueriesMin, 0, 0},
		{"again, later", 400, 2, skewQueriesMin, 1, 0},
	} {
		warnings, recoveries := see(tt.intervals, tt.skew, tt.queries)
		if warnings != tt.warnings || recoveries != tt.recoveries {
			t.Errorf("%s: %d warnings, %d recoveries, want %d, %d", tt.name, warnings, recoveries, tt.warnings, tt.recoveries)
		}
	}
	if a, b := advice(worker.SteeringHash), advice(worker.SteeringCPU); a == b || !strings.Contains(b, "ethtool") {
		t.Errorf("advice %q and %q", a, b)
	}
	for workers, want := range map[int]float64{2: 1.5, 3: 2, 16: 2} {
		if got := (&skewJudge{workers: workers}).limit(); got != want {
			t.Errorf("%d workers: limit %v, want %v", workers, got, want)
		}
	}
}
