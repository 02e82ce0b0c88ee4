// Package pace is the timetable of a load run: a warm-up that is not counted, the measured time, and, in open loop, when each
// query is to be sent.
//
// In open loop the k-th query is due at Start + k/Rate whatever happened to those before it, and its latency counts from
// then, so that a server, or a generator, that stalls is charged for the queries it kept waiting (no coordinated omission).
// In closed loop a query is due when the window has room for it.
//
// Times are ns on a Clock.
package pace

import (
	"math"
	"time"
)

// Clock is ns since it was made, monotonic.
type Clock struct{ base time.Time }

// NewClock starts a clock.
func NewClock() Clock { return Clock{time.Now()} }

// Now reads the clock; it never allocates.
func (c Clock) Now() int64 { return int64(time.Since(c.base)) }

// Wall returns the time of day at ns.
func (c Clock) Wall(ns int64) time.Time { return c.base.Add(time.Duration(ns)) }

// Forever is the end of a run that only its count ends.
const Forever = math.MaxInt64

// Plan is one sender's timetable. It is immutable.
type Plan struct {
	Start, From, To int64         // queries due in From..To-1 are measured, from To on none is sent
	Count           uint64        // measured queries at most, 0 = no limit
	Rate            float64       // queries/s, 0 = closed loop
	Timeout         time.Duration // a query without an answer for so long is lost
}

// Measured tells whether a query due at the given time counts.
func (p *Plan) Measured(at int64) bool { return at >= p.From }

// At is when query k, from 0, is due. Open loop only.
func (p *Plan) At(k uint64) int64 { return p.Start + int64(float64(k)*(1e9/p.Rate)) }

// Due is how many queries are due until now, now included. Open loop only.
func (p *Plan) Due(now int64) uint64 {
	if now < p.Start {
		return 0
	}
	k := uint64(float64(now-p.Start) * (p.Rate / 1e9))
	// k is right but for rounding: the last one due is the largest k with At(k) <= now.
	for k > 0 && p.At(k) > now {
		k--
	}
	for p.At(k+1) <= now {
		k++
	}
	return k + 1
}

// Scheduled is how many queries are due in the measured time, Count aside. Open loop with an end only.
func (p *Plan) Scheduled() uint64 { return p.Due(p.To-1) - p.Due(p.From-1) }

// Part is the timetable of sender i of n: all send at an equal share of the rate, one after the other, and share Count out.
// Count is 0, or at least n.
func (p Plan) Part(i, n int) Plan {
	count := p.Count / uint64(n)
	if uint64(i) < p.Count%uint64(n) {
		count++
	}
	p.Count = count
	if p.Rate > 0 {
		p.Start += int64(float64(i) * 1e9 / p.Rate)
		p.Rate /= float64(n)
	}
	return p
}
