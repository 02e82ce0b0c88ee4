package health

import (
	"errors"
	"math"
)

// Never is the time of a probe that is not wanted.
const Never = math.MaxInt64

// ProbeResult is what became of a probe.
type ProbeResult uint8

const (
	ProbeGood        ProbeResult = iota
	ProbeSlow                    // good, but later than SlowAfter
	ProbeRCode                   // answered with an RCODE that is not accepted
	ProbeTimeout                 // not answered in time
	ProbeFault                   // no connection, or no proper answer
	ProbeResultCount             // how many there are; not a result
)

var probeResultNames = [ProbeResultCount]string{"good", "slow", "rcode", "timeout", "fault"}

// String returns the name used as a metric label.
func (r ProbeResult) String() string { return probeResultNames[r] }

var errSlowProbe = errors.New("answered too slowly")

// probes is when to probe, and what came of it. Guarded by State.mu.
type probes struct {
	at      int64 // ns: the next one, or Never
	last    int64 // ns: the last one ended, or the suspicion began
	restNS  int64 // until the next one, in a state that is looked at closely
	failed  int   // in a row
	results [ProbeResultCount]uint64
	sumNS   uint64
}

// soon asks for a probe at once, and for the one after it when the shortest rest is over.
func (p *probes) soon(now int64, c *Config) { p.after(now, 0, c) }

// after asks for a probe in restNS from now on, and for the one after it in twice that time.
func (p *probes) after(now, restNS int64, c *Config) {
	p.at = Never
	if c.Mode != Passive {
		p.at = now + restNS
		p.restNS = bounded(restNS*2, c)
	}
}

func bounded(restNS int64, c *Config) int64 {
	return min(max(restNS, int64(c.RestMin)), int64(c.RestMax))
}

// reconsider takes a new configuration into account.
func (p *probes) reconsider(now int64, status Status, old, c *Config) {
	switch {
	case c.Mode == Passive:
		p.at = Never
	case status == Suspect || status == Down || status == Trial:
		if p.at == Never || p.at > now+int64(c.RestMax) {
			p.soon(now, c)
		}
	case c.Mode == Lazy:
		p.at = Never
	case old.Mode != Active || old.Interval != c.Interval:
		p.at = now
	}
}

// ProbeAt returns when the next probe is to be sent, or Never. It changes when the state does.
func (s *State) ProbeAt() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Load().Manual == Avoid {
		return Never
	}
	return s.probes.at
}

// Probed records a probe that ended at now; latencyNS is of an answer, err says what was wrong with a bad one.
func (s *State) Probed(now int64, result ProbeResult, latencyNS int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.config.Load()
	if result == ProbeGood && c.SlowAfter != 0 && latencyNS > int64(c.SlowAfter) {
		result, err = ProbeSlow, errSlowProbe
	}
	p := &s.probes
	p.results[result]++
	if result == ProbeGood || result == ProbeSlow || result == ProbeRCode {
		p.sumNS += uint64(max(latencyNS, 0))
	}
	previous := p.last
	p.last = now
	p.next(now, Status(s.auto.Load()), c)
	if result == ProbeGood {
		s.probeGood(now, c)
		return
	}
	if status := Status(s.auto.Load()); c.Mode == Lazy &&
		(s.lastSuccess.Load() > previous && status.InUse() || status == Trial && result == ProbeRCode) {
		return // clients get good answers: the probe may be what is wrong
	}
	p.failed++
	s.probeBad(now, c, Reason{Cause: CauseProbeFailed, N: int64(p.failed), Err: err})
}

// next plans the following probe: the rest grows while nothing changes.
func (p *probes) next(now int64, status Status, c *Config) {
	switch {
	case c.Mode == Passive, c.Mode == Lazy && status != Suspect && status != Down && status != Trial:
		p.at = Never
	case status == Suspect || status == Down || status == Trial:
		p.after(now, bounded(p.restNS, c), c)
	default:
		p.at = now + int64(c.Interval)
	}
}

// probeGood: the upstream answers. mu is held.
func (s *State) probeGood(now int64, c *Config) {
	s.probes.failed = 0
	why := Reason{Cause: CauseProbe}
	switch Status(s.auto.Load()) {
	case Down, Trial:
		s.trial(now, true, why)
	case Suspect:
		s.pardonedUntil = now + int64(c.Window)
		s.failures.Store(0)
		s.settle(now, true)
	case Untried:
		s.enter(now, Up, why)
	default:
		s.settle(now, true)
	}
}

// probeBad: it does not. mu is held.
func (s *State) probeBad(now int64, c *Config, why Reason) {
	switch from := Status(s.auto.Load()); {
	case from == Down:
		s.reason = why
	case from == Trial || s.probes.failed >= c.Failures:
		s.goDown(now, why)
	default:
		s.suspectUntil = now + int64(c.RestMax)
		if from != Suspect {
			s.suspect(now, why)
		}
	}
}
