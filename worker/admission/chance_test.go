package admission

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// asker asks at random times (a Poisson process), several questions at once, as resolvers and people do.
type asker struct {
	rate        float64 // questions/s
	burst       int     // of one source, below one zone
	source      func() Source
	zone        func() uint64
	asked, lost int
}

func (a *asker) loss() float64 { return float64(a.lost) / math.Max(1, float64(a.asked)) }

// chance plays askers at random before upstreams.
type chance struct {
	random *rand.Rand
	misses *Misses
	upstreams
	lookAt int64
}

func newChance(rate, room float64) *chance {
	return &chance{random: rand.New(rand.NewPCG(11, 12)), misses: NewMisses(5), upstreams: upstreams{rate: rate, room: room, now: int64(time.Second)}}
}

// among returns one of n sources, or zones, numbered from first on.
func (c *chance) among(first, n uint64) func() Source {
	return func() Source { return Source{Bits: first + c.random.Uint64N(n)} }
}

func (c *chance) zones(first, n uint64) func() uint64 {
	return func() uint64 { return (first + c.random.Uint64N(n)) * 0x9E3779B97F4A7C15 }
}

// events is how many there are in a time that has mean on average.
func (c *chance) events(mean float64) int {
	n, product := 0, c.random.Float64()
	for product > math.Exp(-mean) {
		n++
		product *= c.random.Float64()
	}
	return n
}

// play lets them ask for so long, and returns how many were answered a second. What was counted before is forgotten.
func (c *chance) play(length time.Duration, askers ...*asker) (answered float64) {
	for _, a := range askers {
		a.asked, a.lost = 0, 0
	}
	c.done = 0
	for range length / time.Millisecond {
		c.now += int64(time.Millisecond)
		c.step(0.001)
		for _, a := range askers {
			for range c.events(a.rate / 1000 / float64(a.burst)) {
				source, zone := a.source(), a.zone()
				for range a.burst {
					a.asked++
					if !c.misses.Admit(source, zone, false) || !c.ask() {
						a.lost++
					}
				}
			}
		}
		if c.now >= c.lookAt {
			c.lookAt = c.now + int64(MissInterval)
			c.misses.Look(&MissLook{Now: c.now, Ended: c.ended / 1000, Limited: c.limited, Quickest: c.quickest})
			c.ended, c.limited, c.quickest = c.ended%1000, 0, 0
		}
	}
	return c.done / length.Seconds()
}

// TestRoomIsUsed: where more is asked than upstreams can do, by many alike or by few, at random, all that they can do is used, and who asks little beside the
// heavy loses little.
func TestRoomIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name       string
		rate, room float64
		askers     func(c *chance) (heavy, light *asker)
		used, lost float64
	}{
		{"a hundred alike", 1000, 200, func(c *chance) (heavy, light *asker) {
			return &asker{rate: 1200, burst: 1, source: c.among(1, 100), zone: c.zones(100, 5000)}, nil
		}, 0.95, 0},
		{"a hundred alike, few questions", 400, 100, func(c *chance) (heavy, light *asker) {
			return &asker{rate: 600, burst: 1, source: c.among(1, 100), zone: c.zones(100, 5000)}, nil
		}, 0.95, 0},
		{"one forwarder", 1000, 200, func(c *chance) (heavy, light *asker) {
			return &asker{rate: 1200, burst: 1, source: c.among(1, 1), zone: c.zones(100, 5000)}, nil
		}, 0.9, 0},
		{"few heavy, many light, little room", 60, 30, func(c *chance) (heavy, light *asker) {
			return &asker{rate: 500, burst: 1, source: c.among(1, 5), zone: c.zones(100, 5000)},
				&asker{rate: 40, burst: 1, source: c.among(500, 200), zone: c.zones(100, 5000)}
		}, 0.9, 0.15},
		{"clients behind one address beside a heavy one", 1000, 200, func(c *chance) (heavy, light *asker) {
			return &asker{rate: 3000, burst: 1, source: c.among(1, 1), zone: c.zones(1000, 50_000)},
				&asker{rate: 200, burst: 20, source: c.among(2, 1), zone: c.zones(1, 500)}
		}, 0.9, 0.15},
	} {
		c := newChance(tt.rate, tt.room)
		heavy, light := tt.askers(c)
		askers := []*asker{heavy}
		if light != nil {
			askers = append(askers, light)
		}
		c.play(10*time.Second, askers...)
		answered := c.play(30*time.Second, askers...)
		if answered < tt.used*tt.rate || heavy.lost == 0 {
			t.Errorf("%s: %.0f/s of %.0f/s are answered, the heavy lose %.3f", tt.name, answered, tt.rate, heavy.loss())
		}
		if light != nil && light.loss() > tt.lost {
			t.Errorf("%s: the light lose %.3f", tt.name, light.loss())
		}
	}
}

// TestPagesAfterAnOverload: when there is room again, people who open pages, many names at once, are answered.
func TestPagesAfterAnOverload(t *testing.T) {
	c := newChance(300, 80)
	c.play(10*time.Second, &asker{rate: 450, burst: 1, source: c.among(1, 20), zone: c.zones(1, 2000)})
	if !c.misses.Shedding() {
		t.Fatal("no overload, the test proves nothing")
	}
	pages := &asker{rate: 100, burst: 15, source: c.among(1, 20), zone: c.zones(1, 2000)}
	c.play(time.Second, pages)
	if c.play(10*time.Second, pages); pages.loss() > 0.03 {
		t.Errorf("%d of %d questions are lost while there is room", pages.lost, pages.asked)
	}
}
