// Package health says whether an upstream is worth asking. One State per upstream is shared by all workers and by the goroutines that
// own its connections; it is fed by what happens to live traffic and holds no clock and no socket of its own.
//
//	Up ──(FailuresMax failures in a row, or a failed connection without a recent answer)──> Down
//	Down ──(any answer)──> Up
//
// A Down upstream rests: Allow lets one exchange through when its rest is over, and the rest doubles from RestMin to RestMax while
// trials fail. RestMax bounds how long a repaired upstream stays unused.
package health

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
)

// Status is what is believed of an upstream.
type Status uint32

const (
	// Untried is the state before the first exchange; it is used like Up.
	Untried Status = iota
	// Up means that the last thing heard was good, or that too little has failed since.
	Up
	// Down means that the upstream is asked only by trials, or when nothing better is left.
	Down
)

// String returns the lower-case name used in logs and metrics.
func (s Status) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "untried"
}

// errUnanswered is the reason given when exchanges failed and no connection error explains it.
var errUnanswered = errors.New("exchanges in a row without an answer")

// State is the health of one upstream. The zero value is not usable: see New. All methods are safe from any goroutine. Those that
// workers call for each exchange (Allow, Succeeded, Failed) allocate nothing and take no lock, but for the one Failed that takes the
// upstream down.
type State struct {
	clock func() int64 // ns, monotonic; used by connection events only: workers pass their own time

	status      atomic.Uint32
	failures    atomic.Uint32 // in a row
	restNS      atomic.Int64  // the current rest
	restUntil   atomic.Int64  // ns; meaningful while Down
	lastSuccess atomic.Int64  // ns, renewed at most once per successGrain

	mu     sync.Mutex // guards reason only
	reason error      // of the last connection failure
}

// New returns an Untried state. clock gives monotonic nanoseconds on the same base as the times that workers pass in.
func New(clock func() int64) *State {
	s := &State{clock: clock}
	s.lastSuccess.Store(math.MinInt64 / 2) // before any time that a clock can give
	return s
}

// Status returns what is believed now.
func (s *State) Status() Status { return Status(s.status.Load()) }

// Reason returns why the upstream last went down; nil when no failure was seen yet.
func (s *State) Reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Allow reports whether an exchange may be sent now: always while the upstream is not Down, else once per rest.
func (s *State) Allow(now int64) bool {
	if Status(s.status.Load()) != Down {
		return true
	}
	until := s.restUntil.Load()
	if now < until {
		return false
	}
	rest := min(s.restNS.Load()*2, RestMaxNS) // if this trial fails, the next one waits twice as long
	if !s.restUntil.CompareAndSwap(until, now+rest) {
		return false
	}
	s.restNS.Store(rest)
	return true
}

// Eligible reports whether an exchange may be sent now: always while the upstream is not Down, else once its rest is over. It changes
// nothing: a chooser that looks at several upstreams claims the trial of the one that it takes with Allow.
func (s *State) Eligible(now int64) bool {
	return Status(s.status.Load()) != Down || now >= s.restUntil.Load()
}

// Share returns how much of its usual part of the queries the upstream should get, in 1/256.
func (s *State) Share(_ int64) uint32 { return ShareFull }

// Declined records an answer that says something of the server and not of the name: SERVFAIL, NOTIMP, REFUSED. It came latencyNS after
// the query.
func (s *State) Declined(now, latencyNS int64) { s.Succeeded(now, latencyNS) }

// Succeeded records an answer that came latencyNS after its query.
func (s *State) Succeeded(now, _ int64) {
	if now-s.lastSuccess.Load() > successGrainNS {
		s.lastSuccess.Store(now)
	}
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
	if Status(s.status.Load()) != Up {
		s.status.Store(uint32(Up))
	}
}

// Failed records an exchange that got no answer.
func (s *State) Failed(now int64) {
	if s.failures.Add(1) >= FailuresMax {
		s.down(now)
	}
}

// Up records a working connection. It does not end Down, which only an answer does: a server that takes connections and says nothing would
// come and go with each of them. But it ends the rest, so that the next query is the trial.
func (s *State) Up() {
	if !s.status.CompareAndSwap(uint32(Untried), uint32(Up)) && s.Status() == Down {
		s.restUntil.Store(s.clock())
	}
}

// Down records a connection that could not be made or kept. An upstream that answered within RecentSuccessNS is not condemned for
// one connection: its failed exchanges will show.
func (s *State) Down(reason error) {
	s.mu.Lock()
	s.reason = reason
	s.mu.Unlock()
	now := s.clock()
	if now-s.lastSuccess.Load() > RecentSuccessNS {
		s.down(now)
	}
}

// down enters Down with the shortest rest. A Down upstream stays as it is: Allow lengthens its rests.
func (s *State) down(now int64) {
	if Status(s.status.Swap(uint32(Down))) != Down {
		s.mu.Lock()
		if s.reason == nil {
			s.reason = errUnanswered
		}
		s.mu.Unlock()
		s.restNS.Store(RestMinNS)
		s.restUntil.Store(now + RestMinNS)
	}
}
