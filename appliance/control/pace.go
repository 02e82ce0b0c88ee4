package control

import (
	"sync"
	"time"
)

// Pace lets a line through at most every LinesEvery, and counts those between.
type Pace struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

// LinesEvery is how far the lines about refusals of one listener are apart.
const LinesEvery = 10 * time.Second

// Tell reports whether it is time for a line, and how many had none before.
func (p *Pace) Tell(now time.Time) (skipped int, line bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && now.Sub(p.last) < LinesEvery {
		p.skipped++
		return 0, false
	}
	skipped, p.last, p.skipped = p.skipped, now, 0
	return skipped, true
}
