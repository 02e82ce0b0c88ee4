package admission

import (
	"math/rand/v2"
	"testing"
	"time"
)

// When upstreams come back that could deal with all that is asked, it is soon asked again, though the room at them grows only step by step.
func TestReturnFromOutage(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, source := range map[string]func() Source{
		"one client": func() Source { return Source{Bits: 9} },
		"many":       func() Source { return Source{Bits: random.Uint64N(300)} },
	} {
		t.Run(name, func(t *testing.T) {
			heavy := &party{rate: 10_000, source: source, zone: func() uint64 { return 77 << 20 }}
			m, u := NewMisses(5), &upstreams{rate: 20_000, room: 16384}
			play(m, u, 3*time.Second, heavy)
			u.rate, u.room, u.under = 0, 2, 2
			play(m, u, 60*time.Second, heavy)
			u.rate = 20_000
			for tenths := 1; ; tenths++ {
				heavy.asked, heavy.lost = 0, 0
				if play(m, u, 100*time.Millisecond, heavy); heavy.lost*100 < heavy.asked {
					return
				}
				if tenths == 30 {
					t.Fatalf("after 3 s %d of %d are still lost", heavy.lost, heavy.asked)
				}
				u.room = min(u.room*1.125, 16384) // as transport/concurrency's
			}
		})
	}
}

// Upstreams come back with a tenth of their strength: soon that is what is asked of them, and light clients lose nothing.
func TestReturnWithLess(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	heavy := &party{rate: 10_000, source: func() Source { return Source{Bits: 9} }, zone: random.Uint64}
	light := &party{rate: 20, source: func() Source { return Source{Bits: 1} }, zone: random.Uint64}
	m, u := NewMisses(5), &upstreams{rate: 20_000, room: 200}
	play(m, u, 3*time.Second, heavy, light)
	u.rate, u.room, u.under = 0, 2, 2
	play(m, u, 10*time.Second, heavy, light)
	u.rate, u.room = 1000, 200
	play(m, u, 10*time.Second, heavy, light)
	light.asked, light.lost, u.done = 0, 0, 0
	play(m, u, 15*time.Second, heavy, light)
	if light.lost*200 > light.asked || u.done < 15*1000*8/10 {
		t.Errorf("the light client lost %d of %d; %.0f were answered in 15 s, of 15,000 that could be", light.lost, light.asked, u.done)
	}
}

// A pause of the upstreams, or of the whole machine, is no outage: what they can do is known as before.
func TestPauseIsNoOutage(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	heavy := &party{rate: 5000, source: func() Source { return Source{Bits: 9} }, zone: random.Uint64}
	light := &party{rate: 20, source: func() Source { return Source{Bits: 1} }, zone: random.Uint64}
	m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
	play(m, u, 15*time.Second, heavy, light)
	for range 5 {
		u.rate = 0
		play(m, u, 300*time.Millisecond, heavy, light)
		u.rate = 1000
		play(m, u, 300*time.Millisecond, heavy, light)
		if m.outage.before != 0 {
			t.Fatal("taken for an outage")
		}
	}
	u.rate = 0
	play(m, u, 1500*time.Millisecond, heavy, light)
	if m.outage.before == 0 {
		t.Error("an outage is not seen as one")
	}
}
