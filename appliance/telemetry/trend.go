package telemetry

import (
	"sync"

	"secure-dns-proxy/worker"
)

// Figures are ratios over one interval, which counters since the start do not show.
type Figures struct {
	Queries        uint64  // in the interval
	EntersPerQuery float64 // system calls of the workers' engines per query of a client; 0 without queries
	Skew           float64 // queries of the busiest worker over the mean of all: 1 is even; 0 without queries
}

// Trend remembers where an interval began and what the last one gave. The zero value is ready.
type Trend struct {
	mu      sync.Mutex
	stats   worker.Stats
	workers []worker.WorkerReport
	last    Figures
}

// Look ends an interval and begins the next; the first one begins at the start of the workers. It returns what Last does from now on.
func (t *Trend) Look(source Source) Figures {
	stats, workers := source.Stats(), source.Workers()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.workers) != len(workers) {
		t.workers = make([]worker.WorkerReport, len(workers))
	}
	t.last = Figures{Queries: stats.Queries() - t.stats.Queries(), Skew: worker.Skew(t.workers, workers)}
	if t.last.Queries > 0 {
		t.last.EntersPerQuery = float64(stats.Enters-t.stats.Enters) / float64(t.last.Queries)
	}
	t.stats, t.workers = stats, workers
	return t.last
}

// Last returns the figures of the last complete interval.
func (t *Trend) Last() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
