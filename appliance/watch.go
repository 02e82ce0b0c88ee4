package appliance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
)

// watch logs every change of an upstream between up and down, once.
type watch struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[*transport.Endpoint]health.Status
}

func newWatch(log *slog.Logger) *watch {
	return &watch{log: log, seen: map[*transport.Endpoint]health.Status{}}
}

// follow replaces the endpoints that are watched; those that stay keep what was last seen of them.
func (w *watch) follow(endpoints []*transport.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := make(map[*transport.Endpoint]health.Status, len(endpoints))
	for _, e := range endpoints {
		next[e] = w.seen[e] // Untried, the zero value, for a new one
	}
	w.seen = next
}

// run looks at the endpoints until ctx ends.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(healthPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for e, before := range w.seen {
		state, ok := e.Health.(*health.State)
		if !ok {
			continue
		}
		now := state.Status()
		if now == before {
			continue
		}
		w.seen[e] = now
		if now == health.Down {
			w.log.Error("upstream down", "upstream", e.Name, "reason", state.Reason())
		} else {
			w.log.Info("upstream up", "upstream", e.Name)
		}
	}
}
