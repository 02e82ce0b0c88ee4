package balance

import (
	"fmt"
)

// Policy is how the upstream of a query is chosen. Retries are chosen in the same way among those that were not asked yet.
type Policy uint8

const (
	RoundRobin       Policy = iota // in turn
	Weighted                       // in turn, in proportion to weights, evenly interleaved
	Random                         // at random, in proportion to weights
	Sequential                     // the first of the list
	Race                           // several at once, in turn; the first good answer wins
	LeastOutstanding               // the fewest exchanges under way for its weight
	EWMA                           // of two at random, the one with the lower latency for its load
	Hash                           // by name, each name at the same upstream while that is not overloaded
	Hedged                         // as EWMA; a second upstream when the first one is slower than usual
	policies
)

var policyNames = [policies]string{
	"round_robin", "weighted", "random", "sequential", "race", "least_outstanding", "ewma", "hash", "hedged",
}

// String returns the name used in the configuration.
func (p Policy) String() string {
	if p < policies {
		return policyNames[p]
	}
	return fmt.Sprintf("policy(%d)", uint8(p))
}

// Names returns the names of all policies.
func Names() []string { return policyNames[:] }
