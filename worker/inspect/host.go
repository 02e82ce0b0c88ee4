package inspect

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Host has the inspector in use, which all its lines are served with. Its methods are for any goroutine.
type Host struct {
	log     *slog.Logger
	current atomic.Pointer[generation]
	epoch   atomic.Uint32
	figures counters

	mu     sync.Mutex // of logging
	logged time.Time
	untold int // failures since then
}

// generation is a source that is in use, or was: it is closed when nobody uses it any more.
type generation struct {
	source Source
	users  atomic.Int64 // the Host, and each open inspector
}

// use takes hold of g, unless it is closed already.
func (g *generation) use() bool {
	for {
		n := g.users.Load()
		if n == 0 {
			return false
		}
		if g.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *generation) release() {
	if g.users.Add(-1) == 0 {
		g.source.Close()
	}
}

type counters struct {
	expired, failed, panicked, unopened, rested, rests atomic.Uint64
}

// Figures are counters since the Host was made.
type Figures struct {
	Expired  uint64 // questions whose time was over before it was their turn
	Failed   uint64 // calls that ended with an error: a trap, too much time, a verdict that is none
	Panicked uint64 // with a panic
	Unopened uint64 // questions for which no inspector could be made
	Rested   uint64 // questions that came while one rested
	Rests    uint64 // times that one began to
}

// Figures returns them.
func (h *Host) Figures() Figures {
	c := &h.figures
	return Figures{
		Expired: c.expired.Load(), Failed: c.failed.Load(), Panicked: c.panicked.Load(), Unopened: c.unopened.Load(),
		Rested: c.rested.Load(), Rests: c.rests.Load(),
	}
}

// NewHost returns a Host that owns source.
func NewHost(source Source, log *slog.Logger) *Host {
	h := &Host{log: log}
	h.Use(source)
	return h
}

// Use puts source, which the Host owns then, in place of the one in use. Each line has it from its next question on; a call that is under way ends first.
func (h *Host) Use(source Source) {
	next := &generation{source: source}
	next.users.Store(1)
	if old := h.current.Swap(next); old != nil {
		old.release()
	}
	h.epoch.Add(1)
}

// Epoch tells verdicts apart: those of another one do not hold any more.
func (h *Host) Epoch() uint32 { return h.epoch.Load() }

// Forget makes all verdicts that workers have kept not hold any more.
func (h *Host) Forget() { h.epoch.Add(1) }

// Close lets go of the source; lines are to be closed before.
func (h *Host) Close() {
	if old := h.current.Swap(nil); old != nil {
		old.release()
	}
}

// report writes a line about a failure, if there was none for a while.
func (h *Host) report(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.untold++; time.Since(h.logged) < logInterval {
		return
	}
	h.log.Warn("inspector failed, its questions have no verdict", "error", err, "failures", h.untold, "next_line_after", logInterval)
	h.logged, h.untold = time.Now(), 0
}
