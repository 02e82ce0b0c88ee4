package worker

import (
	"cmp"
	"slices"
	"sync/atomic"

	"secure-dns-proxy/worker/policy"
)

// journal is where the lines of one worker's rules are, and what their numbers mean.
type journal struct {
	policy *policy.Policy
	lines  *policy.Journal
}

// RuleReport is what is known of one rule: the figures of all workers.
type RuleReport struct {
	policy.RuleID
	Hits uint64
}

// Rules returns a report for every rule that there was since the start, by chain and name.
func (g *Group) Rules() []RuleReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []RuleReport
	for id, hits := range g.rules {
		list = append(list, RuleReport{id, hits.Load()})
	}
	slices.SortFunc(list, func(a, b RuleReport) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// ruleHits returns the counters of a policy's rules. A rule that comes back goes on where it was.
func (g *Group) ruleHits(p *policy.Policy) []*atomic.Uint64 {
	if p == nil {
		return nil
	}
	if g.rules == nil {
		g.rules = map[policy.RuleID]*atomic.Uint64{}
	}
	var list []*atomic.Uint64
	for _, id := range p.Rules() {
		if g.rules[id] == nil {
			g.rules[id] = new(atomic.Uint64)
		}
		list = append(list, g.rules[id])
	}
	return list
}

// Journal hands the lines that rules have logged since the last call to yield, which must not keep them, and returns how many were lost. One
// caller at a time.
func (g *Group) Journal(yield func(policy.RuleID, *policy.Line)) (lost uint64) {
	for _, w := range g.workers {
		j := w.journal.Load()
		if j == nil {
			continue
		}
		names := j.policy.Rules()
		lost += j.lines.Read(func(l *policy.Line) { yield(names[l.Rule], l) })
	}
	return lost
}
