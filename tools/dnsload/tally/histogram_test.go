package tally

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBuckets(t *testing.T) {
	for _, ns := range []int64{0, 1, 127, 128, 129, 255, 256, 257, 511, 512, 1000, 123456, 1e9, 3600e9, math.MaxInt64 / 2, math.MaxInt64} {
		i := bucket(ns)
		if i < 0 || i >= bucketCount {
			t.Fatalf("%d: bucket %d of %d", ns, i, bucketCount)
		}
		high := highest(i)
		if high < ns || float64(high-ns) > float64(ns)/linear || bucket(high) != i {
			t.Errorf("%d: in bucket %d, whose largest value is %d", ns, i, high)
		}
		if high < math.MaxInt64 && bucket(high+1) != i+1 {
			t.Errorf("%d follows bucket %d, but is in %d", high+1, i, bucket(high+1))
		}
	}
}

func TestQuantilesAgainstSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 10, 1000, 100000} {
		var whole, left, right Histogram
		values := make([]int64, n)
		sum := 0.0
		for i := range values {
			values[i] = int64(math.Exp(random.Float64() * 20))
			sum += float64(values[i])
			whole.Record(values[i])
			[]*Histogram{&left, &right}[i%2].Record(values[i])
		}
		slices.Sort(values)
		left.Merge(&right)
		left.Merge(&Histogram{})
		if left != whole && n < 1000 { // sums of floats differ in the last bit
			t.Errorf("%d values: merged is not the same", n)
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			want := values[max(int(math.Ceil(q*float64(n))), 1)-1]
			if got := left.Quantile(q); got < want || float64(got-want) > float64(want)/linear {
				t.Errorf("%d values, quantile %v: got %d, want %d", n, q, got, want)
			}
		}
		if left.Min() != values[0] || left.Max() != values[n-1] || left.Total() != uint64(n) {
			t.Errorf("got %d..%d of %d, want %d..%d of %d", left.Min(), left.Max(), left.Total(), values[0], values[n-1], n)
		}
		if got, want := float64(left.Mean()), sum/float64(n); math.Abs(got-want) > 1 {
			t.Errorf("mean: got %v, want %v", got, want)
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Min() != 0 || h.Max() != 0 || h.Mean() != 0 {
		t.Errorf("got %d %d %d %d, want zeros", h.Quantile(0.5), h.Min(), h.Max(), h.Mean())
	}
	h.Record(-5)
	if h.Max() != 0 || h.Total() != 1 {
		t.Errorf("a negative value: got max %d of %d, want 0 of 1", h.Max(), h.Total())
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	ns := int64(1)
	for b.Loop() {
		h.Record(ns)
		ns = ns*7 + 3&0xffffff
	}
}
