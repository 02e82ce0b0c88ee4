package policy

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// State is what one worker has of one policy: it changes with every query and belongs to that worker alone, but for what Publish writes.
type State struct {
	hits      []uint64 // by rule
	told      []uint64 // of them, published
	buckets   []bucket
	sources   []*sources
	random    uint64
	text      []byte
	candidate [RulesMax / 64]uint64
	untagged  [RulesMax / 64]uint64 // the same without regard to tags
	lookedAt  int64
	time      time.Time
	clock     func() int64 // Unix time, seconds
	Log       *Journal
}

// NewState makes the state of p for one worker. random seeds what chance decides; clock tells the Unix time in seconds.
func (p *Policy) NewState(random *rand.Rand, clock func() int64) *State {
	s := &State{
		hits: make([]uint64, len(p.rules)), told: make([]uint64, len(p.rules)), buckets: make([]bucket, len(p.rates)),
		random: random.Uint64() | 1, text: make([]byte, 0, textBytesMax), clock: clock, lookedAt: -scheduleGrain,
		Log: new(Journal),
	}
	for i := range p.bySource {
		s.sources = append(s.sources, newSources(p.bySource[i].Sources))
	}
	return s
}

// next is xorshift64: chance needs no more here.
func (s *State) next() uint64 {
	s.random ^= s.random << 13
	s.random ^= s.random >> 7
	s.random ^= s.random << 17
	return s.random * 0x9E3779B97F4A7C15
}

// textOf is the name as text, valid until the next call.
func (s *State) textOf(q *Query) []byte {
	s.text = appendText(s.text[:0], q.Name)
	return s.text
}

// wall is the time of day, at most scheduleGrain old.
func (s *State) wall(now int64) time.Time {
	if now-s.lookedAt >= scheduleGrain || now < s.lookedAt {
		s.lookedAt, s.time = now, time.Unix(s.clock(), 0)
	}
	return s.time
}

// Publish adds the hits since the last call to the counters of the rules, in the order of Rules.
func (s *State) Publish(to []*atomic.Uint64) {
	for i, n := range s.hits {
		if n != s.told[i] {
			to[i].Add(n - s.told[i])
			s.told[i] = n
		}
	}
}

// RuleID names a rule.
type RuleID struct {
	Chain Chain
	Name  string
}

// Rules returns the names of the rules.
func (p *Policy) Rules() []RuleID {
	var list []RuleID
	for i := range p.rules {
		list = append(list, RuleID{p.rules[i].chain, p.rules[i].name})
	}
	return list
}

// Has reports whether a chain has rules.
func (p *Policy) Has(c Chain) bool { return p.chains[c].words != 0 }

// first returns the lowest bit of a word.
func first(w uint64) int { return bits.TrailingZeros64(w) }
