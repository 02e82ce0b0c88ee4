package health

// Configure replaces the configuration, which must be valid; what was learned stays. It is how a reload changes limits, the mode of
// probing and the operator's word without touching connections. A panic names what is wrong: the caller checked before.
func (s *State) Configure(now int64, c Config) {
	if err := c.Validate(); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.config.Load()
	if *old == c {
		return
	}
	s.config.Store(&c)
	if old.Window != c.Window {
		s.window.clear() // its grains have another length
	}
	if auto := Status(s.auto.Load()); auto == Down || auto == Trial { // the rest in force may be longer than any is now
		rest := bounded(s.restNS.Load(), &c)
		s.restNS.Store(rest)
		s.trialAt.Store(c.liveTrial(now, rest))
	}
	s.probes.reconsider(now, Status(s.auto.Load()), old, &c)
	s.show(now, Reason{Cause: CauseOperator})
}

// Up records a working connection (transport.Reporter). It does not end Down, which only good trials do, but it ends the rest, so that the
// next exchange or probe is the trial.
func (s *State) Up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	switch Status(s.auto.Load()) {
	case Untried:
		s.enter(now, Up, Reason{Cause: CauseConnected})
	case Down, Trial:
		c := s.config.Load()
		if c.Mode != Active {
			s.trialAt.Store(now)
		}
		s.probes.soon(now, c)
	}
}

// Down records a connection that could not be made or kept (transport.Reporter). An upstream that answered within recentNS is not
// condemned for one connection, only suspected: its failed exchanges will show.
func (s *State) Down(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	why := Reason{Cause: CauseConnection, Err: reason}
	from := Status(s.auto.Load())
	switch {
	case from == Down:
		s.reason = why
	case now-s.lastSuccess.Load() > recentNS:
		s.goDown(now, why)
	case from == Trial:
		s.reason = why
	default:
		s.suspectUntil = now + recentNS
		if from != Suspect {
			s.suspect(now, why)
		}
	}
}

// Figures are what is counted of one upstream's health.
type Figures struct {
	Entered [StatusCount]uint64      // transitions by the status that they led to
	Probes  [ProbeResultCount]uint64 // by result
	ProbeNS uint64                   // sum of the times of answered probes
}

// Answered returns how many probes were.
func (f *Figures) Answered() uint64 {
	return f.Probes[ProbeGood] + f.Probes[ProbeSlow] + f.Probes[ProbeRCode]
}

// Carry adds the counts of a state that this one takes the place of, so that counters do not fall.
func (s *State) Carry(f Figures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range f.Entered {
		s.history.entered[i] += n
	}
	for i, n := range f.Probes {
		s.probes.results[i] += n
	}
	s.probes.sumNS += f.ProbeNS
}

// Figures returns a copy.
func (s *State) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Figures{s.history.entered, s.probes.results, s.probes.sumNS}
}
