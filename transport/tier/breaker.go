package tier

import (
	"fmt"
	"time"
)

// BreakerConfig says when asking is given up and tried again.
type BreakerConfig struct {
	Percent int           // of the questions of a second that were late or failed: as many and it is given up; 1 to 100
	Rest    time.Duration // until the first trial after that
	RestMax time.Duration // Rest doubles up to this as long as trials fail, or it has to be given up again soon
}

// Validate returns what is wrong, or nil.
func (c BreakerConfig) Validate() error {
	if c.Percent < 1 || c.Percent > 100 || c.Rest < RestMin || c.RestMax < c.Rest || c.RestMax > RestLimit {
		return fmt.Errorf("breaker: %d percent, rest %v to %v: want 1 to 100 percent, %v <= first <= longest <= %v", c.Percent, c.Rest, c.RestMax, RestMin, RestLimit)
	}
	return nil
}

// BreakerState is where a Breaker stands.
type BreakerState uint8

const (
	In    BreakerState = iota // questions are asked
	Out                       // none is
	Trial                     // one at a time is
)

// String returns the name used as a metric label.
func (s BreakerState) String() string { return [...]string{"in", "out", "trial"}[s] }

// Breaker takes a server out that is slow or gone and lets it back by trials. It has no clock: now is nanoseconds of any monotonic one. The zero
// value with a Config set is In.
//
//	In     bad: Percent of a window, or runMax in a row  -> Out
//	Out    Rest is over, somebody wants to ask           -> Trial
//	Trial  trialsMin in a row were good                  -> In
//	Trial  one was bad                                   -> Out, with twice the Rest
type Breaker struct {
	Config BreakerConfig
	Outs   uint64 // times it was taken out

	state       BreakerState
	asked, bad  int // in this window
	run         int // bad ones in a row
	passed      int // trials
	windowUntil int64
	until       int64 // Out: when the rest is over; Trial: when the trial under way is given up
	rest        int64 // the last one
	inSince     int64
}

// State returns where it stands.
func (b *Breaker) State() BreakerState { return b.state }

// Allow reports whether a question may be asked now. Whoever gets true asks it and tells the result by Good or Bad.
func (b *Breaker) Allow(now int64) bool {
	switch b.state {
	case In:
		return true
	case Out:
		if now < b.until {
			return false
		}
		b.state, b.passed = Trial, 0
	case Trial:
		if now < b.until {
			return false
		}
	}
	b.until = now + int64(trialTime)
	return true
}

// Good takes in that a question was answered in time, whether or not there was something.
func (b *Breaker) Good(now int64) {
	switch b.state {
	case In:
		b.count(now)
		b.run = 0
	case Trial:
		b.until = now // the next one may start
		if b.passed++; b.passed == trialsMin {
			b.state, b.inSince = In, now
			b.asked, b.bad, b.run, b.windowUntil = 0, 0, 0, 0
		}
	}
}

// Bad takes in that a question failed, or was not answered in time.
func (b *Breaker) Bad(now int64) {
	switch b.state {
	case In:
		b.count(now)
		b.bad++
		b.run++
		if b.run < runMax && (b.asked < windowMin || b.bad*100 < b.Config.Percent*b.asked) {
			return
		}
	case Out:
		return // was asked before
	}
	b.takeOut(now)
}

// count takes one more question into the window.
func (b *Breaker) count(now int64) {
	if now >= b.windowUntil {
		b.asked, b.bad, b.windowUntil = 0, 0, now+int64(window)
	}
	b.asked++
}

// takeOut begins a rest: a first one if the tier was well for longer than the longest rest, else twice the last.
func (b *Breaker) takeOut(now int64) {
	longest := int64(b.Config.RestMax)
	if b.rest == 0 || b.state == In && now-b.inSince > longest {
		b.rest = int64(b.Config.Rest)
	} else {
		b.rest = min(2*b.rest, longest)
	}
	if b.state == In {
		b.Outs++
	}
	b.state, b.until = Out, now+b.rest
}
