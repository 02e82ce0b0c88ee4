package query

import "math"

// zipf draws ranks 0..n-1, rank r with a probability proportional to 1/(r+1)^s, by Vose's alias method: exact, two array
// reads per draw, whatever s and n are.
type zipf struct {
	columns []aliasColumn
}

// aliasColumn is 8 bytes, so that a draw touches one cache line.
type aliasColumn struct {
	keep  uint32 // the column's own rank is drawn when 32 random bits are below this, else the alias
	alias uint32
}

func newZipf(s float64, n int) *zipf {
	weights := make([]float64, n)
	sum := 0.0
	for i := n - 1; i >= 0; i-- { // smallest first, for the sum's sake
		weights[i] = math.Pow(float64(i+1), -s)
		sum += weights[i]
	}
	z := &zipf{columns: make([]aliasColumn, n)}
	// Weights fall with the rank, so what is above the mean is a prefix: small walks down from the end, large up from 0.
	mean := sum / float64(n)
	for i := range weights {
		weights[i] /= mean
	}
	var small, large []uint32
	for i := n - 1; i >= 0; i-- {
		if weights[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		less, more := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		z.columns[less] = aliasColumn{keep: uint32(weights[less] * (1 << 32)), alias: more}
		weights[more] -= 1 - weights[less]
		if weights[more] < 1 {
			large = large[:len(large)-1]
			small = append(small, more)
		}
	}
	for _, rest := range append(small, large...) { // 1 but for rounding
		z.columns[rest] = aliasColumn{keep: math.MaxUint32, alias: rest}
	}
	return z
}

func (z *zipf) draw(r *rng) uint64 {
	i := r.below(uint64(len(z.columns)))
	c := &z.columns[i]
	if uint32(r.next()) < c.keep {
		return i
	}
	return uint64(c.alias)
}
