// Package balance chooses the upstream of an exchange. It is a pure function of a snapshot: the health of each upstream, which of
// them this query has tried, and a cursor that the caller keeps.
package balance

import (
	"fmt"

	"secure-dns-proxy/transport/health"
)

// UpstreamsMax is how many upstreams one set may hold: tried upstreams are bits of a uint64.
const UpstreamsMax = 64

// Policy is how the first upstream of a query is chosen. Retries go on in the same order.
type Policy uint8

const (
	// RoundRobin starts each query at the next upstream.
	RoundRobin Policy = iota
	// Sequential starts each query at the first upstream of the list.
	Sequential
)

// String returns the name used in the configuration.
func (p Policy) String() string {
	if p == Sequential {
		return "sequential"
	}
	return "round_robin"
}

// ParsePolicy reads the name used in the configuration.
func ParsePolicy(name string) (Policy, error) {
	for _, p := range []Policy{RoundRobin, Sequential} {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown policy %q: round_robin or sequential", name)
}

// Pick returns the index of the upstream to ask next, or -1 when every one was tried.
//
// states has 1 to UpstreamsMax entries. tried has bit i set when upstream i was asked for this query before. cursor rotates
// RoundRobin and is ignored by Sequential. Upstreams that are Down are passed over while another is left; when none is, the first
// untried one in order is asked all the same: an answer from a sick upstream is better than none.
func Pick(p Policy, states []*health.State, tried uint64, cursor uint32, now int64) int {
	n := len(states)
	start := 0
	if p == RoundRobin {
		start = int(cursor % uint32(n))
	}
	fallback := -1
	for k := range n {
		i := start + k
		if i >= n {
			i -= n
		}
		if tried&(1<<uint(i)) != 0 {
			continue
		}
		if states[i].Allow(now) {
			return i
		}
		if fallback < 0 {
			fallback = i
		}
	}
	return fallback
}
