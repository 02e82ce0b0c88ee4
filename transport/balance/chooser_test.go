package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// source is the same in every run.
func source() *rand.Rand { return rand.New(rand.NewChaCha8([32]byte{7})) }

// field returns usable candidates with these weights.
func field(weights ...uint32) []Candidate {
	var list []Candidate
	for i, w := range weights {
		list = append(list, Candidate{ID: NameHash(fmt.Sprint("upstream ", i)), Share: ShareFull, Weight: w, Usable: true})
	}
	return list
}

// shares picks n times for names of their own and returns how often each upstream was taken.
func shares(c *Chooser, list []Candidate, n int) []int {
	counts := make([]int, len(list))
	for i := range n {
		counts[c.Pick(list, NameHash(fmt.Sprint("name", i)))]++
	}
	return counts
}

func TestTurnsAreEven(t *testing.T) {
	for _, policy := range []Policy{RoundRobin, Race} {
		c := NewChooser(policy, 125, source())
		var got []int
		for range 6 {
			got = append(got, c.Pick(field(1, 5, 9), 0)) // weights are not for these
		}
		if want := []int{0, 1, 2, 0, 1, 2}; !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", policy, got, want)
		}
	}
}

// The example of nginx's author: 5, 1, 1 gives a b a c a a a and not a a a a a b c.
func TestWeightedIsSmooth(t *testing.T) {
	c := NewChooser(Weighted, 125, source())
	list := field(5, 1, 1)
	var got []int
	for range 7 {
		got = append(got, c.Pick(list, 0))
	}
	if want := []int{0, 0, 1, 0, 2, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	list[0].Usable = false
	if got := shares(c, list, 100); got[0] != 0 || got[1] < 45 || got[2] < 45 {
		t.Errorf("with the first one out: %v", got)
	}
}

// TestWeights: every policy that knows weights gives shares in proportion to them when all else is equal.
func TestWeights(t *testing.T) {
	for _, policy := range []Policy{Weighted, Random, Hash} {
		got := shares(NewChooser(policy, 1000, source()), field(1, 2, 5), 80_000)
		for i, want := range []int{10_000, 20_000, 50_000} {
			if math.Abs(float64(got[i]-want)) > 0.05*float64(want) {
				t.Errorf("%v: %v, want about 10000, 20000, 50000", policy, got)
				break
			}
		}
	}
	// These look at loads: let the load follow the choice.
	for _, policy := range []Policy{LeastOutstanding, EWMA, Hedged} {
		c, list := NewChooser(policy, 125, source()), field(1, 2, 5)
		for i := range list {
			list[i].LatencyNS = 1e6
		}
		for range 800 {
			list[c.Pick(list, 0)].Outstanding++
		}
		for i, want := range []uint32{100, 200, 500} {
			if math.Abs(float64(list[i].Outstanding)-float64(want)) > 0.15*float64(want) {
				t.Errorf("%v: %d under way at weight %d, want about %d", policy, list[i].Outstanding, list[i].Weight, want)
			}
		}
	}
}

func TestSequentialTakesTheFirst(t *testing.T) {
	c, list := NewChooser(Sequential, 125, source()), field(1, 1, 1)
	for _, want := range []int{0, 1, 2, -1} {
		got := c.Pick(list, 0)
		if got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		if got >= 0 {
			list[got].Usable = false
		}
	}
}

func TestLeastOutstandingBreaksTies(t *testing.T) {
	c, list := NewChooser(LeastOutstanding, 125, source()), field(1, 1, 1)
	if got := shares(c, list, 300); slices.Min(got) < 90 {
		t.Errorf("among equals: %v, want even turns", got)
	}
	list[1].LatencyNS, list[0].LatencyNS, list[2].LatencyNS = 1e6, 5e6, 5e6
	if got := shares(c, list, 30); got[1] != 30 {
		t.Errorf("the quickest of equals: %v", got)
	}
	list[1].Outstanding = 1
	if got := shares(c, list, 30); got[1] != 0 {
		t.Errorf("the busiest: %v", got)
	}
}

// TestEWMALeavesTheSlowOne: of two drawn the slow one never wins, and one that is not known yet is tried once, not flooded.
func TestEWMALeavesTheSlowOne(t *testing.T) {
	c, list := NewChooser(EWMA, 125, source()), field(1, 1, 1, 1)
	for i := range list {
		list[i].LatencyNS = 10e6
	}
	list[2].LatencyNS = 500e6
	if got := shares(c, list, 3000); got[2] != 0 || slices.Min([]int{got[0], got[1], got[3]}) < 900 {
		t.Errorf("shares %v, want none for the third, a third for each other", got)
	}
	list[2].LatencyNS = 0
	if got := shares(c, list, 1000); got[2] < 400 {
		t.Errorf("unknown and idle: %v, want it taken whenever it is drawn", got)
	}
	list[2].Outstanding = 1
	if got := shares(c, list, 1000); got[2] != 0 {
		t.Errorf("unknown with a query out: %v, want it left alone until that is back", got)
	}
}

// TestHashIsConsistent: a name stays with its upstream, in another process too, and only the names of one that is gone move.
func TestHashIsConsistent(t *testing.T) {
	const names = 10_000
	list := field(1, 1, 1, 1, 1)
	where := func(c *Chooser) []int {
		var at []int
		for i := range names {
			at = append(at, c.Pick(list, NameHash(fmt.Sprint("name", i))))
		}
		return at
	}
	before := where(NewChooser(Hash, 125, source()))
	if again := where(NewChooser(Hash, 125, rand.New(rand.NewChaCha8([32]byte{99})))); !slices.Equal(before, again) {
		t.Error("another chooser has another mapping")
	}
	list[3].Usable = false
	for i, at := range where(NewChooser(Hash, 125, source())) {
		if before[i] != 3 && at != before[i] {
			t.Fatalf("name %d moved from %d to %d though 3 went", i, before[i], at)
		}
	}
}

// TestHashBoundsLoad: one name asked for over and over overflows to its next upstream at hash_load percent of the mean.
func TestHashBoundsLoad(t *testing.T) {
	for _, percent := range []int{125, 200} {
		c, list := NewChooser(Hash, percent, source()), field(1, 1, 1, 1)
		for range 1000 {
			list[c.Pick(list, 42)].Outstanding++
		}
		most := uint32(0)
		for i := range list {
			most = max(most, list[i].Outstanding)
		}
		if want := float64(percent) / 100 * 250; float64(most) > want+2 || float64(most) < want-2 {
			t.Errorf("%d percent: the busiest has %d of 1000, want about %v", percent, most, want)
		}
	}
}

// TestSlowStart: an upstream with a small share gets that part of what it would have, by every policy, and all if it is the only one.
func TestSlowStart(t *testing.T) {
	for policy := range policies {
		c, list := NewChooser(policy, 1000, source()), field(1, 1)
		for i := range list {
			list[i].LatencyNS = 1e6
		}
		full := shares(c, list, 20_000)[0]
		list[0].Share = ShareFull / 8
		got := shares(c, list, 20_000)[0]
		if want := full / 8; math.Abs(float64(got-want)) > 0.2*float64(want) {
			t.Errorf("%v: %d of 20000 at an eighth, %d at full share", policy, got, full)
		}
		list[1].Usable = false
		if got := shares(c, list, 100)[0]; got != 100 {
			t.Errorf("%v: the only one was passed over %d times of 100", policy, 100-got)
		}
	}
}

func TestNoneUsable(t *testing.T) {
	for policy := range policies {
		list := field(1, 1)
		list[0].Usable, list[1].Usable = false, false
		if got := NewChooser(policy, 125, source()).Pick(list, 1); got != -1 {
			t.Errorf("%v: %d", policy, got)
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	list := field(1, 2, 3, 4)
	for policy := range policies {
		c := NewChooser(policy, 125, source())
		if n := testing.AllocsPerRun(100, func() { c.Pick(list, 5) }); n != 0 {
			t.Errorf("%v: %v allocations", policy, n)
		}
	}
}

func TestPolicyNames(t *testing.T) {
	for i, name := range Names() {
		if p := Policy(i); p.String() != name {
			t.Errorf("policy %d: %v, want %s", i, p, name)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	list := field(1, 2, 3, 4, 5)
	for i := range list {
		list[i].LatencyNS = int64(1e6 * (i + 1))
	}
	for policy := range policies {
		b.Run(policy.String(), func(b *testing.B) {
			c := NewChooser(policy, 125, source())
			b.ReportAllocs()
			for b.Loop() {
				c.Pick(list, 5)
			}
		})
	}
}
