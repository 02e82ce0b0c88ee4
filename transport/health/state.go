package health

import (
	"math"
	"sync"
	"sync/atomic"
)

// State is the health of one upstream. The zero value is not usable: see New.
type State struct {
	clock  func() int64 // ns, monotonic; used by connection events only: all others bring their time, on the same base
	config atomic.Pointer[Config]

	// Read for every exchange, written when something changes.
	shown   atomic.Uint32 // Status with the operator's word
	auto    atomic.Uint32 // Status without
	trialAt atomic.Int64  // ns: Down and Trial: the next live trial
	restNS  atomic.Int64  // Down: the rest before it
	claimed atomic.Bool   // a live trial is under way
	fromNS  atomic.Int64  // ns: slow start began
	fullAt  atomic.Int64  // ns: and ends

	failures    atomic.Uint32 // exchanges in a row without an answer
	lastSuccess atomic.Int64  // ns, renewed at most once per successGrainNS
	judgeAt     atomic.Int64  // ns: the window is not added up before
	window      window

	mu sync.Mutex // guards what follows, and all changes of state
	machine
}

// machine is what only changes of state and probes touch.
type machine struct {
	reason        Reason // why the upstream was last found at fault
	barred        error  // why somebody keeps the upstream out of use; nil: nobody does
	successes     int    // good trials in a row
	suspectUntil  int64  // ns: a suspicion that is not in any count lasts so long
	pardonedUntil int64  // ns: declines are not held against the upstream
	probes        probes
	history       history
}

// longAgo is before any time that a clock can give.
const longAgo = math.MinInt64 / 2

// New returns an Untried state with the Default configuration. clock gives monotonic nanoseconds on the same base as the times of events.
func New(clock func() int64) *State {
	s := &State{clock: clock}
	c := Default()
	s.config.Store(&c)
	s.lastSuccess.Store(longAgo)
	s.judgeAt.Store(longAgo)
	s.fullAt.Store(longAgo)
	s.pardonedUntil, s.suspectUntil = longAgo, longAgo
	s.probes.at, s.probes.last = Never, longAgo
	return s
}

// Status returns what is believed now, the operator's word above all. No lock.
func (s *State) Status() Status { return Status(s.shown.Load()) }

// Reason returns why the upstream was last found at fault; nil when it never was.
func (s *State) Reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason.Cause == CauseNone {
		return nil
	}
	r := s.reason
	return &r
}

// Eligible reports whether an exchange may be sent now: always while the upstream is in use, when a trial is due while it is Down or in
// Trial, never while the operator keeps it out. It changes nothing: a chooser that looks at several upstreams claims the trial of the one
// that it takes with Allow.
func (s *State) Eligible(now int64) bool {
	switch Status(s.shown.Load()) {
	case Down, Trial:
		return now >= s.trialAt.Load()
	case Draining, ForcedDown:
		return false
	}
	return true
}

// Allow is Eligible for one who sends: of all that ask when a trial is due it lets one through.
func (s *State) Allow(now int64) bool {
	c := s.config.Load()
	rest := int64(c.RestMin) // after this trial, if nothing comes of it
	switch Status(s.shown.Load()) {
	case Trial:
	case Down:
		rest = int64(c.RestMax)
		if c.Mode == Passive {
			rest = min(s.restNS.Load()*2, rest)
		}
	case Draining, ForcedDown:
		return false
	default:
		return true
	}
	until := s.trialAt.Load()
	if now < until || !s.trialAt.CompareAndSwap(until, now+rest) {
		return false
	}
	if Status(s.auto.Load()) == Down {
		s.restNS.Store(rest)
	}
	s.claimed.Store(true)
	return true
}

// Share returns how much of its usual part of the queries the upstream should get, in 1/256: less than ShareFull during slow start, 0 while
// the operator keeps it out. A Down upstream has its full share: trials are rationed by Allow.
func (s *State) Share(now int64) uint32 {
	switch Status(s.shown.Load()) {
	case Draining, ForcedDown:
		return 0
	case ForcedUp, Down, Trial:
		return ShareFull
	}
	full := s.fullAt.Load()
	if now >= full {
		return ShareFull
	}
	from := s.fromNS.Load()
	passed, all := max(now-from, 0), max(full-from, 1)
	return uint32(shareFirst + (ShareFull-shareFirst)*min(passed, all)/all)
}

// Succeeded records an answer that came latencyNS after its query.
func (s *State) Succeeded(now, latencyNS int64) {
	c := s.config.Load()
	if now-s.lastSuccess.Load() > successGrainNS {
		s.lastSuccess.Store(now)
	}
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
	s.window.answer(now, c.grain())
	slow := c.SlowAfter != 0 && latencyNS > int64(c.SlowAfter)
	if slow {
		cell, epoch := s.window.cell(now, c.grain())
		add(&cell.slow, epoch, 1)
	}
	switch Status(s.auto.Load()) {
	case Up:
		if slow {
			s.judge(now, false)
		}
	case Down, Trial:
		s.tried(now, !slow)
	default:
		s.judge(now, !slow)
	}
}

// Declined records an answer that may say something of the server and not of the name, SERVFAIL, NOTIMP or REFUSED, latencyNS after its
// query. It ends a run of failures, but counts against the budget and is no good trial.
func (s *State) Declined(now, _ int64) {
	c := s.config.Load()
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
	s.window.answer(now, c.grain())
	cell, epoch := s.window.cell(now, c.grain())
	add(&cell.declined, epoch, 1)
	switch Status(s.auto.Load()) {
	case Down, Trial:
		s.tried(now, false)
	default:
		s.judge(now, false)
	}
}

// Failed records an exchange that got no answer.
func (s *State) Failed(now int64) {
	c := s.config.Load()
	run := s.failures.Add(1)
	cell, epoch := s.window.cell(now, c.grain())
	add(&cell.failed, epoch, 1)
	switch Status(s.auto.Load()) {
	case Down, Trial:
		s.tried(now, false)
	default:
		if int(run) >= c.Failures-1 {
			s.judgeAt.Store(now)
		}
		s.judge(now, false)
	}
}

// grain is the length of a bucket of the window, ns.
func (c *Config) grain() int64 { return int64(c.Window) / buckets }
