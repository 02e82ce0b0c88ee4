package balance

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// Candidate is one upstream of a pool as one worker sees it at one moment.
type Candidate struct {
	ID          uint64 // NameHash of the upstream's name: the same in every process, for Hash
	LatencyNS   int64  // Latency.Expected; 0: not known
	Share       uint32 // 1 to ShareFull: the part of its traffic that an upstream takes that has just come back (slow start)
	Weight      uint32 // 1 to WeightMax
	Outstanding uint32 // exchanges of this worker under way
	Usable      bool   // may be asked: healthy, not asked for this query before, below its limits
}

// Chooser is one worker's choice within one pool. It remembers whose turn it is. Not for concurrent use.
type Chooser struct {
	policy Policy
	factor float64 // of the mean load that Hash lets one upstream have
	random *rand.Rand

	current [UpstreamsMax]int64 // smooth weighted round-robin: how much each is owed
	cursor  uint32              // Race: the next one; LeastOutstanding: breaks ties
	seen    int                 // length of the list that current is about
}

// NewChooser returns a Chooser. loadPercent is for Hash: how much of the mean load of all usable upstreams one may carry, above 100.
// random is the chooser's own.
func NewChooser(policy Policy, loadPercent int, random *rand.Rand) *Chooser {
	return &Chooser{policy: policy, factor: float64(loadPercent) / 100, random: random}
}

// Policy returns the policy chosen by.
func (c *Chooser) Policy() Policy { return c.policy }

// Pick returns the index of the upstream to ask, -1 when none is usable. list has at most UpstreamsMax entries, the same upstreams in the
// same order each time. name is NameHash of the name asked for.
func (c *Chooser) Pick(list []Candidate, name uint64) int {
	if len(list) != c.seen {
		c.current, c.seen = [UpstreamsMax]int64{}, len(list)
	}
	set := c.thin(list)
	if set == 0 {
		return -1
	}
	if set&(set-1) == 0 && c.policy != RoundRobin && c.policy != Weighted {
		return bits.TrailingZeros64(set)
	}
	switch c.policy {
	case Sequential:
		return bits.TrailingZeros64(set)
	case Random:
		return c.weightedRandom(list, set)
	case LeastOutstanding:
		return c.leastOutstanding(list, set)
	case EWMA, Hedged:
		return c.cheaperOfTwo(list, set)
	case Hash:
		return c.rendezvous(list, set, name)
	case Race:
		return c.following(set, len(list))
	}
	return c.turn(list, set, c.policy == Weighted)
}

// thin returns the usable candidates as bits. One that is in its slow start is left out at random, as often as its share says, while
// another is left.
func (c *Chooser) thin(list []Candidate) uint64 {
	var usable, resting uint64
	for i := range list {
		if !list[i].Usable {
			continue
		}
		usable |= 1 << i
		if share := list[i].Share; share < ShareFull && c.random.Uint32N(ShareFull) >= share {
			resting |= 1 << i
		}
	}
	if rest := usable &^ resting; rest != 0 {
		return rest
	}
	return usable
}

// following takes the next one after the last one taken: the picks of a race, and those of the next one, go round.
func (c *Chooser) following(set uint64, n int) int {
	for range n {
		i := int(c.cursor % uint32(n))
		c.cursor = uint32(i + 1)
		if set&(1<<i) != 0 {
			return i
		}
	}
	return -1
}

// turn is smooth weighted round-robin: each is owed its weight every time, the one that is owed most gets the query and pays for all.
func (c *Chooser) turn(list []Candidate, set uint64, weighted bool) int {
	best, total := -1, int64(0)
	for s := set; s != 0; s &= s - 1 {
		i := bits.TrailingZeros64(s)
		weight := int64(1)
		if weighted {
			weight = int64(list[i].Weight)
		}
		total += weight
		c.current[i] += weight
		if best < 0 || c.current[i] > c.current[best] {
			best = i
		}
	}
	c.current[best] -= total
	return best
}

func (c *Chooser) weightedRandom(list []Candidate, set uint64) int {
	total := uint32(0)
	for s := set; s != 0; s &= s - 1 {
		total += list[bits.TrailingZeros64(s)].Weight
	}
	at := c.random.Uint32N(total)
	for s := set; ; s &= s - 1 {
		i := bits.TrailingZeros64(s)
		if at < list[i].Weight {
			return i
		}
		at -= list[i].Weight
	}
}

// leastOutstanding compares loads by weight; among equals the lower latency, then whose turn it is.
func (c *Chooser) leastOutstanding(list []Candidate, set uint64) int {
	c.cursor++
	best, n := -1, len(list)
	for k := range n {
		i := (k + int(c.cursor%uint32(n))) % n
		if set&(1<<i) == 0 {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		a, b := &list[i], &list[best]
		mine, theirs := uint64(a.Outstanding)*uint64(b.Weight), uint64(b.Outstanding)*uint64(a.Weight)
		if mine < theirs || mine == theirs && a.LatencyNS < b.LatencyNS {
			best = i
		}
	}
	return best
}

// cheaperOfTwo draws two at random and takes the one that is expected to answer sooner.
func (c *Chooser) cheaperOfTwo(list []Candidate, set uint64) int {
	n := uint32(bits.OnesCount64(set))
	first := c.random.Uint32N(n)
	second := c.random.Uint32N(n - 1)
	if second >= first {
		second++
	}
	a, b := nth(set, first), nth(set, second)
	if list[b].cost() < list[a].cost() {
		return b
	}
	return a
}

// cost is what one more exchange is expected to take, in ns for a weight of 1.
func (c *Candidate) cost() float64 {
	if c.LatencyNS == 0 {
		return unknownNS * float64(c.Outstanding) / float64(c.Weight)
	}
	return float64(c.LatencyNS) * float64(c.Outstanding+1) / float64(c.Weight)
}

// nth returns the position of the n-th bit of set, from 0.
func nth(set uint64, n uint32) int {
	for range n {
		set &= set - 1
	}
	return bits.TrailingZeros64(set)
}

// rendezvous gives every name an order of all upstreams of its own, weights considered, and takes the first that is not overloaded.
// Removing an upstream moves only the names that it had.
func (c *Chooser) rendezvous(list []Candidate, set uint64, name uint64) int {
	outstanding, weights := uint64(1), uint64(0)
	for s := set; s != 0; s &= s - 1 {
		i := bits.TrailingZeros64(s)
		outstanding += uint64(list[i].Outstanding)
		weights += uint64(list[i].Weight)
	}
	best, top := -1, math.Inf(-1)
	most, highest := -1, math.Inf(-1) // with the overloaded ones
	for s := set; s != 0; s &= s - 1 {
		i := bits.TrailingZeros64(s)
		u := float64(mix(name^list[i].ID)>>11+1) / (1 << 53) // in (0, 1]
		score := float64(list[i].Weight) / -math.Log(u*(1-0x1p-53))
		if score > highest {
			most, highest = i, score
		}
		room := math.Ceil(c.factor * float64(outstanding) * float64(list[i].Weight) / float64(weights))
		if score > top && float64(list[i].Outstanding) < room {
			best, top = i, score
		}
	}
	if best < 0 {
		return most
	}
	return best
}

// NameHash is a hash that is the same in every process, so that all instances of a cluster send a name to the same upstream. It is not
// keyed: whoever chooses names to hit one upstream meets Hash's bound on its load.
func NameHash[T string | []byte](name T) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of MurmurHash3: every bit of the input moves every bit of the output.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
