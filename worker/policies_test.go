package worker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"secure-dns-proxy/transport/balance"
)

// allPolicies in the order of the configuration.
func allPolicies() []balance.Policy {
	var all []balance.Policy
	for i := range balance.Names() {
		all = append(all, balance.Policy(i))
	}
	return all
}

// about draws a latency around a median, with a tail.
func about(median time.Duration, r *rand.Rand) time.Duration {
	return median*8/10 + time.Duration(0.3*r.ExpFloat64()*float64(median))
}

// TestPoliciesWithOneSlowUpstream: five upstreams answer within 10 to 20 ms, but for the third, which takes 400. Latency-aware policies keep
// away from it, and hedging costs little.
func TestPoliciesWithOneSlowUpstream(t *testing.T) {
	medians := []time.Duration{10, 12, 400, 15, 20}
	results := map[balance.Policy]*fieldTally{}
	table := fmt.Sprintf("\n%-18s %s\n", "policy", fieldHeader)
	for _, policy := range allPolicies() {
		f := newField(t, 5, func(_ *Config, s *Snapshot) {
			s.Pools[0].Policy, s.Pools[0].Fanout = policy, 2
			for i, weight := range []int{4, 2, 2, 1, 1} {
				s.Upstreams[i].Weight = weight
			}
		}, func(i int, _ time.Duration, r *rand.Rand) (time.Duration, conduct) {
			return about(medians[i]*time.Millisecond, r), answers
		})
		f.run(400, 30*time.Second)
		results[policy] = &f.tally
		table += fmt.Sprintf("%-18s %v\n", policy, &f.tally)
		if f.tally.failed+f.tally.unanswered != 0 {
			t.Errorf("%v: %d failed, %d unanswered", policy, f.tally.failed, f.tally.unanswered)
		}
	}
	t.Log(table)
	plain := results[balance.RoundRobin].quantile(0.99)
	for _, policy := range []balance.Policy{balance.EWMA, balance.Hedged} {
		r := results[policy]
		if p99 := r.quantile(0.99); 3*p99 > plain {
			t.Errorf("%v: p99 %v, want at most a third of round_robin's %v", policy, p99, plain)
		}
		if r.extra() >= 10 {
			t.Errorf("%v: %.1f %% more queries than clients sent", policy, r.extra())
		}
	}
	if h := results[balance.Hedged]; h.extra() == 0 {
		t.Error("hedged never hedged")
	}
	if r := results[balance.Race]; r.extra() < 95 || r.extra() > 105 || r.quantile(0.99) > plain/3 {
		t.Errorf("race of two: %.1f %% extra, p99 %v", r.extra(), r.quantile(0.99))
	}
	within := func(policy balance.Policy, want ...int) { // percent, of each upstream
		for i, n := range results[policy].sent {
			if got := 100 * n / results[policy].queries; got < want[i]-2 || got > want[i]+2 {
				t.Errorf("%v: upstream %d got %d %%, want about %d", policy, i+1, got, want[i])
			}
		}
	}
	within(balance.Race, 40, 40, 40, 40, 40)
	within(balance.RoundRobin, 20, 20, 20, 20, 20)
	within(balance.Weighted, 40, 20, 20, 10, 10)
	within(balance.Random, 40, 20, 20, 10, 10)
	within(balance.Sequential, 100, 0, 0, 0, 0)
	if s := results[balance.LeastOutstanding].sent; s[2]*10 > slices.Max(s) {
		t.Errorf("least_outstanding gave the slow one %v", s)
	}
}

// TestPoliciesWithSickUpstreams: of five upstreams the second says nothing, the fourth answers SERVFAIL, and the fifth refuses, from the
// fifth second to the twentieth. No client is left without a good answer that another upstream had.
func TestPoliciesWithSickUpstreams(t *testing.T) {
	table := fmt.Sprintf("\n%-18s %s\n", "policy", fieldHeader)
	for _, policy := range allPolicies() {
		f := newField(t, 5, func(_ *Config, s *Snapshot) { s.Pools[0].Policy, s.Pools[0].Fanout = policy, 2 },
			func(i int, at time.Duration, r *rand.Rand) (time.Duration, conduct) {
				sick := at > 5*time.Second && at < 20*time.Second
				switch {
				case sick && i == 1:
					return 0, silent
				case sick && i == 3:
					return about(5*time.Millisecond, r), servfails
				case sick && i == 4:
					return time.Millisecond, refuses
				}
				return about(10*time.Millisecond, r), answers
			})
		f.run(300, 30*time.Second)
		table += fmt.Sprintf("%-18s %v\n", policy, &f.tally)
		if bad := f.tally.failed + f.tally.unanswered; bad*1000 > f.tally.queries {
			t.Errorf("%v: %d of %d queries failed, %d had no answer", policy, f.tally.failed, f.tally.queries, f.tally.unanswered)
		}
		if policy != balance.Sequential {
			for i, n := range f.tally.sent {
				if n*20 < f.tally.queries/5 {
					t.Errorf("%v: upstream %d was asked %d times: it did not come back", policy, i+1, n)
				}
			}
		}
	}
	t.Log(table)
}

// TestAllUpstreamsSilent: when nobody answers, every client gets SERVFAIL within its time, retries do not multiply the load, and all is well
// again soon after the upstreams are.
func TestAllUpstreamsSilent(t *testing.T) {
	f := newField(t, 3, func(_ *Config, s *Snapshot) {}, func(i int, at time.Duration, r *rand.Rand) (time.Duration, conduct) {
		if at > 5*time.Second && at < 25*time.Second {
			return 0, silent
		}
		return about(10*time.Millisecond, r), answers
	})
	f.run(500, 5*time.Second)
	f.tally = fieldTally{sent: make([]int, 3)}
	f.run(500, 15*time.Second)
	if f.tally.unanswered != 0 || f.tally.extra() > 30 {
		t.Errorf("%d without an answer, %.1f %% extra queries; want 0, at most 30 %%", f.tally.unanswered, f.tally.extra())
	}
	if got := f.tally.quantile(1); got > 3*time.Second+10*time.Millisecond {
		t.Errorf("a client waited %v", got)
	}
	if p := &f.w.active.pools[0].stats; p.RetriesDenied == 0 {
		t.Error("no retry was denied")
	}
	f.now = f.began + 27*time.Second
	f.tally = fieldTally{sent: make([]int, 3)}
	f.run(500, 5*time.Second)
	if f.tally.failed+f.tally.unanswered > 0 {
		t.Errorf("2 s after the upstreams are back: %d failed, %d unanswered of %d", f.tally.failed, f.tally.unanswered, f.tally.queries)
	}
	for i, u := range f.w.active.pools[0].members {
		if u.outstanding != 0 {
			t.Errorf("upstream %d: %d exchanges are never ended", i, u.outstanding)
		}
	}
	if f.w.table.Len() != 0 || f.w.poolStates[0].under != 0 || f.w.exchanges.Len() != 0 {
		t.Errorf("left: %d slots, %d exchanges of the pool, %d over UDP", f.w.table.Len(), f.w.poolStates[0].under, f.w.exchanges.Len())
	}
}
