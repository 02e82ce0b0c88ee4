package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Due counts exactly the queries whose time has come.
func TestDueAgreesWithAt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, rate := range []float64{0.1, 1, 3, 999.99, 50000, 333333, 1e6, 3e9} {
		p := Plan{Start: 12345, Rate: rate}
		if got := p.Due(p.Start - 1); got != 0 {
			t.Errorf("rate %v: %d due before the start", rate, got)
		}
		if got := p.At(0); got != p.Start {
			t.Errorf("rate %v: query 0 at %d, want %d", rate, got, p.Start)
		}
		for range 1000 {
			now := p.Start + random.Int64N(int64(time.Hour))
			n := p.Due(now)
			if n == 0 || p.At(n-1) > now || p.At(n) <= now {
				t.Fatalf("rate %v: %d due at %d, but query %d is at %d and query %d at %d", rate, n, now, n-1, p.At(n-1), n, p.At(n))
			}
		}
	}
}

func TestScheduled(t *testing.T) {
	second := int64(time.Second)
	p := Plan{Start: 0, From: second, To: 3 * second, Rate: 1000}
	if got := p.Scheduled(); got != 2000 {
		t.Errorf("got %d, want 2000", got)
	}
	if p.Measured(second-1) || !p.Measured(second) {
		t.Error("the measured time does not begin at From")
	}
}

// The parts of a plan send at the times of the whole, and no more than its count.
func TestParts(t *testing.T) {
	whole := Plan{Start: 1000, From: 1000, To: 1000 + int64(time.Second), Count: 103, Rate: 1000}
	const n = 4
	var count, scheduled uint64
	for i := range n {
		p := whole.Part(i, n)
		count += p.Count
		scheduled += p.Scheduled()
		for k := range uint64(50) {
			if got, want := p.At(k), whole.At(k*n+uint64(i)); got < want-1 || got > want+1 {
				t.Errorf("part %d, query %d: at %d, want %d", i, k, got, want)
			}
		}
	}
	if count != whole.Count || scheduled != whole.Scheduled() {
		t.Errorf("parts make %d queries of %d scheduled, want %d of %d", count, scheduled, whole.Count, whole.Scheduled())
	}
	if closed := (Plan{Start: 5}).Part(3, 4); closed.Start != 5 || closed.Rate != 0 {
		t.Errorf("closed loop: got %+v", closed)
	}
}

func TestClock(t *testing.T) {
	c := NewClock()
	a := c.Now()
	if b := c.Now(); a < 0 || b < a {
		t.Errorf("got %d, then %d", a, b)
	}
	if got := c.Wall(int64(time.Minute)).Sub(c.Wall(0)); got != time.Minute {
		t.Errorf("got %v, want 1m", got)
	}
	if n := testing.AllocsPerRun(100, func() { c.Now() }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
