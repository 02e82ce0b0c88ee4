package telemetry

import (
	"bytes"
	"strings"
	"testing"

	"secure-dns-proxy/worker"
)

func TestTrendIsOfTheLastInterval(t *testing.T) {
	f, trend := sample(), new(Trend)
	f.stats.Enters = 50
	if got, want := trend.Look(f), (Figures{Queries: 100, EntersPerQuery: 0.5, Skew: 1.6}); got != want {
		t.Errorf("first interval: %+v, want %+v", got, want)
	}
	f.stats.QueriesUDP += 1000
	f.stats.Enters += 20
	f.workers[0].QueriesUDP += 250
	f.workers[1].QueriesUDP += 750
	if got, want := trend.Look(f), (Figures{Queries: 1000, EntersPerQuery: 0.02, Skew: 1.5}); got != want || trend.Last() != want {
		t.Errorf("second interval: %+v, want %+v", got, want)
	}
	var out bytes.Buffer
	NewMetrics(f, Build{}, new(Reloads), trend).WritePrometheus(&out)
	for _, line := range []string{"sdp_worker_skew 1.5\n", "sdp_engine_enters_per_query 0.02\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q on the page", line)
		}
	}
	if got := trend.Look(f); got != (Figures{}) {
		t.Errorf("interval without queries: %+v", got)
	}
	f.workers = []worker.WorkerReport{{QueriesUDP: 5}}
	if got := trend.Look(f); got.Skew != 1 {
		t.Errorf("one worker: skew %v, want 1", got.Skew)
	}
}
