package health

import (
	"errors"
	"fmt"
	"time"
)

// Mode says when an upstream is probed.
type Mode uint8

const (
	// Passive means never: live traffic alone decides.
	Passive Mode = iota
	// Lazy means only when something looks wrong: in Suspect, Down and Trial.
	Lazy
	// Active means every Interval, and more often when something looks wrong.
	Active
)

// Manual is the operator's word.
type Manual uint8

const (
	// Auto leaves it to the state machine.
	Auto Manual = iota
	// Use means ForcedUp.
	Use
	// Avoid means ForcedDown.
	Avoid
	// Drain means Draining.
	Drain
)

// Config is what the state machine goes by. It can be replaced at any time, see State.Configure.
type Config struct {
	Failures  int // exchanges or probes in a row that take the upstream down, 1 to 1000
	Successes int // good trials in a row that bring it back, 1 to 1000

	Window      time.Duration // that budgets look back on, 1 s to 1 h
	Samples     int           // exchanges in the window that a budget needs to speak, 1 to 1e6
	Budget      int           // percent of exchanges in the window that may fail, 1 to 100; 0 = no budget
	SlowAfter   time.Duration // an answer that takes longer is slow; 0 = none is
	SlowPercent int           // percent of answers in the window that may be slow, 1 to 100

	RestMin, RestMax time.Duration // between trials of a Down upstream: at least 10 ms, at most 1 h
	SlowStart        time.Duration // from coming back to the full share, 0 to 1 h; 0 = at once

	Mode     Mode
	Interval time.Duration // Active: from one probe to the next, at least 10 ms, at most 24 h
	Manual   Manual
}

// Default returns what New starts with: no probes, since they need a prober. Three failures: one lost datagram, or two, are no outage.
// RestMax keeps a repaired upstream unused for less than the two seconds within which answers have to be back.
func Default() Config {
	return Config{
		Failures: 3, Successes: 1,
		Window: 10 * time.Second, Samples: 20, Budget: 50, SlowPercent: 50,
		RestMin: 100 * time.Millisecond, RestMax: time.Second,
		Mode: Passive, Interval: 10 * time.Second,
	}
}

// Validate returns everything that is wrong with c, joined.
func (c *Config) Validate() error {
	var problems []error
	number := func(name string, n, low, high int) {
		if n < low || n > high {
			problems = append(problems, fmt.Errorf("health: %s %d, want %d to %d", name, n, low, high))
		}
	}
	duration := func(name string, d, low, high time.Duration) {
		if d < low || d > high {
			problems = append(problems, fmt.Errorf("health: %s %v, want %v to %v", name, d, low, high))
		}
	}
	number("failures", c.Failures, 1, 1000)
	number("successes", c.Successes, 1, 1000)
	duration("window", c.Window, time.Second, time.Hour)
	number("samples", c.Samples, 1, 1e6)
	number("budget", c.Budget, 0, 100)
	duration("slow after", c.SlowAfter, 0, time.Minute)
	number("slow percent", c.SlowPercent, 1, 100)
	duration("shortest rest", c.RestMin, 10*time.Millisecond, time.Hour)
	duration("longest rest", c.RestMax, c.RestMin, time.Hour)
	duration("slow start", c.SlowStart, 0, time.Hour)
	duration("interval", c.Interval, 10*time.Millisecond, 24*time.Hour)
	number("mode", int(c.Mode), int(Passive), int(Active))
	number("manual state", int(c.Manual), int(Auto), int(Drain))
	return errors.Join(problems...)
}
