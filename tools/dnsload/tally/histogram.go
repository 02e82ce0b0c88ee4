package tally

import "math/bits"

// Histogram counts durations in ns, log-linear: a value below 128 exactly, any other to within 1/128 (0.8 %) of itself.
// The zero value is empty.
type Histogram struct {
	counts   [bucketCount]uint64
	total    uint64
	sum      float64
	min, max int64
}

const (
	linearBits  = 7
	linear      = 1 << linearBits
	bucketCount = (63-linearBits)*linear + linear
)

// Record adds one value; a negative one counts as 0.
func (h *Histogram) Record(ns int64) {
	ns = max(ns, 0)
	h.counts[bucket(ns)]++
	h.sum += float64(ns)
	if h.total == 0 || ns < h.min {
		h.min = ns
	}
	h.max = max(h.max, ns)
	h.total++
}

// bucket: with shift 0 the value itself, with shift s the 7 bits after its leading one, one row of 128 buckets per s.
func bucket(ns int64) int {
	shift := max(bits.Len64(uint64(ns))-linearBits-1, 0)
	return shift<<linearBits + int(ns>>shift)
}

// highest is the largest value of a bucket.
func highest(bucket int) int64 {
	if bucket < 2*linear {
		return int64(bucket)
	}
	shift := bucket>>linearBits - 1
	return (int64(bucket-shift<<linearBits)+1)<<shift - 1
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.total == 0 {
		return
	}
	if h.total == 0 || other.min < h.min {
		h.min = other.min
	}
	h.max = max(h.max, other.max)
	h.total += other.total
	h.sum += other.sum
	for i, n := range &other.counts {
		h.counts[i] += n
	}
}

// Quantile returns a value that the share q of all values, 0..1, does not exceed, 0 when there are none.
func (h *Histogram) Quantile(q float64) int64 {
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) || rank == 0 {
		rank++
	}
	seen := uint64(0)
	for i, n := range &h.counts {
		if seen += n; seen >= rank {
			return min(highest(i), h.max)
		}
	}
	return h.max
}

// Total is the number of values, Mean, Min and Max are 0 when there are none.
func (h *Histogram) Total() uint64 { return h.total }
func (h *Histogram) Min() int64    { return h.min }
func (h *Histogram) Max() int64    { return h.max }
func (h *Histogram) Mean() int64 {
	if h.total == 0 {
		return 0
	}
	return int64(h.sum / float64(h.total))
}
