package query

import "math/bits"

// rng is SplitMix64: one addition and a mix per number, seedable, and independent streams from independent seeds. It drives
// load, not security.
type rng struct{ state uint64 }

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in 0..n-1 by multiplication; the bias, n in 2^64, is beyond measuring.
func (r *rng) below(n uint64) uint64 {
	high, _ := bits.Mul64(r.next(), n)
	return high
}
