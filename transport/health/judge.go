package health

// verdict is what the counts ask for.
type verdict struct {
	to     Status // Up, Suspect or Down
	reason Reason
}

// weigh looks at everything that is counted. It is a pure function of the counts; no lock.
func (s *State) weigh(c *Config, now, pardonedUntil int64) verdict {
	run := int(s.failures.Load())
	quiet := now-s.lastSuccess.Load() >= quietNS
	inARow := Reason{Cause: CauseFailures, N: int64(run)}
	if run >= c.Failures && quiet {
		return verdict{Down, inARow}
	}
	suspicion := verdict{to: Up, reason: Reason{Cause: CauseWell}}
	if run > 0 && run >= c.Failures-1 && quiet {
		suspicion = verdict{Suspect, inARow}
	}
	n := s.window.sum(now, c.grain())
	all := n.answered + n.failed
	// over reports whether bad of of is over the whole (parts = 1) or half (parts = 2) of percent.
	over := func(bad, of int64, percent int, parts int64) bool {
		return percent > 0 && of >= int64(c.Samples) && bad > 0 && bad*100*parts >= int64(percent)*of
	}
	unanswered := Reason{Cause: CauseUnanswered, N: n.failed, Of: all, Budget: c.Budget}
	declined := Reason{Cause: CauseDeclined, N: n.failed + n.declined, Of: all, Budget: c.Budget}
	slow := Reason{Cause: CauseSlow, N: n.slow, Of: n.answered, Budget: c.SlowPercent}
	pardoned := now < pardonedUntil
	switch {
	case over(n.failed, all, c.Budget, 1):
		return verdict{Down, unanswered}
	case c.SlowAfter != 0 && over(n.slow, n.answered, c.SlowPercent, 1):
		return verdict{Down, slow}
	case over(n.failed+n.declined, all, c.Budget, 1) && !pardoned:
		if c.Mode == Passive {
			return verdict{Down, declined}
		}
		return verdict{Suspect, declined}
	case suspicion.to == Suspect:
	case over(n.failed, all, c.Budget, 2):
		suspicion = verdict{Suspect, unanswered}
	case c.SlowAfter != 0 && over(n.slow, n.answered, c.SlowPercent, 2):
		suspicion = verdict{Suspect, slow}
	}
	return suspicion
}

// judge makes the change that the counts ask for after a good or a bad event, at most once per judgeGrainNS, for a state that is in use. The
// window is added up by one of the workers that come here at the same time. Workers.
func (s *State) judge(now int64, good bool) {
	at := s.judgeAt.Load()
	if now < at || !s.judgeAt.CompareAndSwap(at, now+judgeGrainNS) || !s.mu.TryLock() {
		return // whoever holds the mutex changes something, or reads: the next event will do
	}
	s.settle(now, good)
	s.mu.Unlock()
}

// settle is judge without its limit. A good event never makes a state worse, though the window slides and the share of bad ones in it may
// grow meanwhile: the next bad one will. mu is held.
func (s *State) settle(now int64, good bool) {
	c := s.config.Load()
	from := Status(s.auto.Load())
	if from == Down || from == Trial {
		return
	}
	v := s.weigh(c, now, s.pardonedUntil)
	switch {
	case good && v.to != Up:
	case v.to == Down:
		s.goDown(now, v.reason)
	case v.to == Suspect && from != Suspect:
		s.suspect(now, v.reason)
	case v.to == Up && (from != Suspect || now >= s.suspectUntil):
		s.well(now, from, v.reason)
	}
}

// well is the state of an upstream with which nothing is wrong. mu is held.
func (s *State) well(now int64, from Status, why Reason) {
	if from == Untried {
		if s.lastSuccess.Load() == longAgo {
			return // nothing is known yet
		}
		why = Reason{Cause: CauseAnswer}
	}
	if now < s.fullAt.Load() {
		s.enter(now, Recovering, why)
		return
	}
	s.enter(now, Up, why)
}

// suspect is used like up, and probed at once. mu is held.
func (s *State) suspect(now int64, why Reason) {
	s.reason = why
	s.probes.last = now
	s.probes.soon(now, s.config.Load())
	s.enter(now, Suspect, why)
}

// goDown begins the rest. One that has just come back rests longer than before. mu is held.
func (s *State) goDown(now int64, why Reason) {
	c := s.config.Load()
	s.reason = why
	s.successes = 0
	s.claimed.Store(false)
	rest := int64(c.RestMin)
	if Status(s.auto.Load()) == Trial || now < s.fullAt.Load() {
		rest = bounded(s.restNS.Load()*2, c)
	}
	s.restNS.Store(rest)
	s.fullAt.Store(longAgo)
	s.probes.after(now, rest, c)
	s.trialAt.Store(c.liveTrial(now, rest))
	s.enter(now, Down, why)
}

// liveTrial is when a live exchange may be a trial: after the rest without probes, after the longest rest with Lazy ones, for they could be
// configured wrongly, and never with Active ones, which decide alone.
func (c *Config) liveTrial(now, rest int64) int64 {
	switch c.Mode {
	case Active:
		return Never
	case Lazy:
		rest = int64(c.RestMax)
	}
	return now + rest
}

// tried takes the result of a live exchange with an upstream that is Down or in Trial. Those that were not sent as trials, because nothing
// better was left, change nothing: else an upstream with half of its answers lost would come and go with each of them. Workers.
func (s *State) tried(now int64, good bool) {
	if !s.claimed.Load() || !s.mu.TryLock() {
		return
	}
	if s.claimed.Swap(false) {
		why := Reason{Cause: CauseTrial}
		if good {
			why.Cause = CauseAnswer
		}
		s.trial(now, good, why)
	}
	s.mu.Unlock()
}

// trial takes the result of a trial, live or probe. mu is held.
func (s *State) trial(now int64, good bool, why Reason) {
	from := Status(s.auto.Load())
	switch {
	case from != Down && from != Trial:
	case !good && from == Trial:
		s.goDown(now, why)
	case !good: // Down stays Down: whoever claimed the trial made the rest longer
	default:
		s.successes++
		if s.successes >= s.config.Load().Successes {
			s.comeBack(now, why)
			return
		}
		c := s.config.Load()
		s.trialAt.Store(now)
		if c.Mode == Active {
			s.trialAt.Store(Never)
		}
		s.probes.after(now, int64(c.RestMin), c) // a thousand successes must not be a thousand probes in a row
		s.enter(now, Trial, why)
	}
}

// comeBack ends an outage: what was counted before is forgotten. mu is held.
func (s *State) comeBack(now int64, why Reason) {
	c := s.config.Load()
	s.window.clear()
	s.failures.Store(0)
	s.lastSuccess.Store(now)
	s.claimed.Store(false)
	s.probes.failed = 0
	s.probes.after(now, int64(c.Interval), c)
	if c.SlowStart == 0 {
		s.enter(now, Up, why)
		return
	}
	s.fromNS.Store(now)
	s.fullAt.Store(now + int64(c.SlowStart))
	s.enter(now, Recovering, why)
}

// enter changes the state, and what is shown. mu is held.
func (s *State) enter(now int64, to Status, why Reason) {
	s.auto.Store(uint32(to))
	if to != Suspect && to != Trial && to != Down && s.config.Load().Mode == Lazy {
		s.probes.at = Never
	}
	s.show(now, why)
}

// show makes Status what the operator says, or else what is believed, and notes a change. mu is held.
func (s *State) show(now int64, why Reason) {
	to := Status(s.auto.Load())
	switch manual := s.config.Load().Manual; {
	case manual == Use:
		to = ForcedUp
	case manual == Avoid || s.barred != nil:
		to = ForcedDown
	case manual == Drain:
		to = Draining
	}
	from := Status(s.shown.Swap(uint32(to)))
	if from != to {
		s.history.note(Transition{At: now, From: from, To: to, Reason: why})
	}
}
