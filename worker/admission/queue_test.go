package admission

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A flood for which the upstreams have no room makes them no queue in which light clients wait: soon after it has begun it is gone, and what is
// tried later makes none to speak of.
func TestNoQueueStands(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, least := range []time.Duration{time.Millisecond, 40 * time.Millisecond} {
		m, u := NewMisses(5), &upstreams{rate: 600, room: 150, least: least}
		light := &party{rate: 100, source: func() Source { return Source{Bits: 1} }, zone: random.Uint64}
		play(m, u, 1600*time.Millisecond, light)
		flood := &party{rate: 3000, source: func() Source { return Source{Bits: uint64(random.Uint32())} }, zone: func() uint64 { return 77 << 30 }}
		play(m, u, 3500*time.Millisecond, light, flood)
		longest, looks := time.Duration(0), 600
		u.done = 0
		for range looks {
			play(m, u, MissInterval, light, flood)
			longest = max(longest, time.Duration(u.under/u.rate*1e9))
		}
		rate := u.done / (float64(looks) * MissInterval.Seconds())
		t.Logf("%v: longest queue %v, %.0f answers a second", least, longest, rate)
		if longest > 60*time.Millisecond+least/2 {
			t.Errorf("%v: a queue of %v", least, longest)
		}
		if rate < 540 {
			t.Errorf("%v: %.0f answers a second, of 600", least, rate)
		}
	}
}

// Upstreams that take longer for good look like a queue for a while: no more is lost than a fifth, and that not for long.
func TestSlowerIsNoQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	m, u := NewMisses(5), &upstreams{rate: 1000, room: 400, least: time.Millisecond}
	light := &party{rate: 100, source: func() Source { return Source{Bits: 1} }, zone: random.Uint64}
	flood := &party{rate: 5000, source: func() Source { return Source{Bits: uint64(random.Uint32())} }, zone: func() uint64 { return 77 << 30 }}
	play(m, u, 10*time.Second, light, flood)
	u.least = 200 * time.Millisecond
	for second := range 120 {
		play(m, u, time.Second, light, flood)
		if _, admitted := m.Rates(); admitted < 700 {
			t.Fatalf("%.0f questions/s are let in after %d s, of 1000", admitted, second)
		}
	}
	if _, admitted := m.Rates(); admitted < 900 {
		t.Errorf("%.0f questions/s are let in at last, of 1000", admitted)
	}
}

func TestQueueStands(t *testing.T) {
	var q queue
	ms := int64(time.Millisecond)
	for i, c := range []struct {
		at, quickest int64 // ms
		want         bool
	}{
		{0, 0, false},
		{1, 5, false},
		{100, 14, false},
		{200, 16, true},
		{300, 0, false},
		{400, 300, true},
		{500, 3, false},
		{600, 14, true},
		{12_000, 14, true},
		{23_000, 14, false},
		{31_000, 100, true},
		{34_000, 100, true},
		{45_000, 100, false},
		{45_100, 124, false},
		{45_200, 126, true},
	} {
		if got := q.stands(c.at*ms+1, c.quickest*ms); got != c.want {
			t.Errorf("%d: after %d ms, %d ms: %t", i, c.at, c.quickest, got)
		}
	}
}
