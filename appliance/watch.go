package appliance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
)

// watch logs every change of an upstream's state, once, and wakes its prober. States keep their changes until they are read, so none is
// missed however short it is.
type watch struct {
	log *slog.Logger

	mu        sync.Mutex
	endpoints []*transport.Endpoint
	fresh     []health.Transition // scratch
}

func newWatch(log *slog.Logger) *watch { return &watch{log: log} }

// follow replaces the endpoints that are watched.
func (w *watch) follow(endpoints []*transport.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endpoints = endpoints
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
	for _, e := range w.endpoints {
		state, ok := e.Health.(*health.State)
		if !ok {
			continue
		}
		var dropped uint64
		w.fresh, dropped = state.Transitions(w.fresh[:0])
		if dropped != 0 {
			w.log.Warn("upstream changes too often for the log", "upstream", e.Name, "changes_not_logged", dropped)
		}
		for i := range w.fresh {
			t := &w.fresh[i]
			level := slog.LevelInfo
			if t.To == health.Down {
				level = slog.LevelError
			}
			w.log.Log(context.Background(), level, "upstream "+t.To.String(), "upstream", e.Name, "was", t.From.String(), "reason", t.Reason.Error())
		}
	}
}
