package balance

import (
	"math"
	"testing"
)

// TestPeakCountsAtOnce: one slow answer shows immediately, quick ones bring the mean down over seconds, and so does silence.
func TestPeakCountsAtOnce(t *testing.T) {
	var l Latency
	if l.Expected(0) != 0 {
		t.Error("something is expected of an upstream that nobody has asked")
	}
	now := int64(0)
	for range 1000 {
		now += 1e6
		l.Observe(now, 5e6)
	}
	if got := l.Expected(now); got < 4.9e6 || got > 5.1e6 {
		t.Fatalf("after 1000 answers of 5 ms: %d", got)
	}
	l.Observe(now, 400e6)
	if got := l.Expected(now); got != 400e6 {
		t.Fatalf("after one of 400 ms: %d", got)
	}
	idle := l
	if got := idle.Expected(now + 20e9); got > 10e6 {
		t.Errorf("20 s later without a query: %d, want it worth another try", got)
	}
	for range 20_000 { // 20 s
		now += 1e6
		l.Observe(now, 5e6)
	}
	if got := l.Expected(now); got > 15e6 {
		t.Errorf("20 s of quick answers later: %d", got)
	}
}

// TestTailIsThe95thPercentile of a distribution with a long tail, and follows when the network changes.
func TestTailIsThe95thPercentile(t *testing.T) {
	var l Latency
	random := source()
	now := int64(0)
	feed := func(n int, scale float64) {
		for range n {
			now += 1e6
			l.Observe(now, int64(scale*random.ExpFloat64()))
		}
	}
	feed(tailSamplesMin-1, 10e6)
	if l.Tail() != 0 {
		t.Error("an estimate from too few answers")
	}
	for _, scale := range []float64{10e6, 200e6, 3e6} {
		feed(5000, scale)
		sum := 0.0
		for range 2000 {
			feed(1, scale)
			sum += float64(l.Tail())
		}
		want := -math.Log(0.05) * scale // of an exponential distribution
		if got := sum / 2000; got < 0.8*want || got > 1.25*want {
			t.Errorf("scale %v: tail %v, want about %v", scale, got, want)
		}
	}
}

// TestBudget: extra exchanges are a share of the queries of the last ten seconds, and a floor.
func TestBudget(t *testing.T) {
	var b Budget
	now := int64(100e9)
	spend := func(percent, floor int) (n int) {
		for b.Spend(now, percent, floor) {
			n++
		}
		return n
	}
	if got := spend(20, RetryFloor); got != 100 {
		t.Errorf("without a query: %d, want the floor of ten seconds", got)
	}
	if got := spend(5, 0); got != 0 {
		t.Errorf("without a floor: %d", got)
	}
	for range 10_000 {
		b.Count(now)
	}
	if got := spend(20, RetryFloor); got != 2000 {
		t.Errorf("with 10000 queries: %d more, want 2000", got)
	}
	b.Return()
	if got := spend(20, RetryFloor); got != 1 {
		t.Errorf("after one was given back: %d, want 1", got)
	}
	now += 5e9
	if got := spend(20, RetryFloor); got != 0 {
		t.Errorf("5 s later: %d more", got)
	}
	now += 6e9
	if got := spend(20, RetryFloor); got != 100 {
		t.Errorf("when all that was forgotten: %d, want 100", got)
	}
	now += 3600e9
	b.Count(now)
	if b.queries != 1 || b.spent != 0 {
		t.Errorf("an hour later: %d queries, %d spent", b.queries, b.spent)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	var l Latency
	var b Budget
	if n := testing.AllocsPerRun(100, func() {
		l.Observe(1e9, 5e6)
		l.Expected(2e9)
		b.Count(1e9)
		b.Spend(1e9, 5, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
