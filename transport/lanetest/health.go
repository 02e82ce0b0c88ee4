package lanetest

import "sync"

// Health records what drivers report.
type Health struct {
	mu    sync.Mutex
	ups   int
	downs []error
}

// Up counts.
func (h *Health) Up() {
	h.mu.Lock()
	h.ups++
	h.mu.Unlock()
}

// Down keeps the reason.
func (h *Health) Down(reason error) {
	h.mu.Lock()
	h.downs = append(h.downs, reason)
	h.mu.Unlock()
}

// Ups returns how often Up was called.
func (h *Health) Ups() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ups
}

// Downs returns the reasons given so far.
func (h *Health) Downs() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]error(nil), h.downs...)
}
