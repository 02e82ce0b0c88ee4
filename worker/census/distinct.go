package census

import (
	"math"
	"math/bits"
)

// Distinct estimates how many different things were added, by HyperLogLog (Flajolet et al., 2007) with 64 registers: within 13 % mostly.
// It is of fixed size, and two can be merged.
type Distinct [registers]uint8

// Add counts the thing that has this hash.
func (d *Distinct) Add(hash uint64) {
	hash *= 0x9E3779B97F4A7C15 // the low bits of a hash may be shared by all of a set
	r := hash >> 58
	rank := uint8(bits.LeadingZeros64(hash<<6|1<<5) + 1)
	d[r] = max(d[r], rank)
}

// Merge makes d count what other has counted as well.
func (d *Distinct) Merge(other *Distinct) {
	for i, rank := range other {
		d[i] = max(d[i], rank)
	}
}

// Count returns the estimate.
func (d *Distinct) Count() float64 {
	sum, empty := 0.0, 0
	for _, rank := range d {
		sum += math.Ldexp(1, -int(rank))
		if rank == 0 {
			empty++
		}
	}
	const alpha = 0.709 // for 64 registers
	estimate := alpha * registers * registers / sum
	if estimate <= 2.5*registers && empty != 0 {
		return registers * math.Log(registers/float64(empty)) // linear counting is better for few
	}
	return estimate
}
