package admission

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// upstreams answers so many questions a second, with room for some under way, as a server at its limit does.
type upstreams struct {
	rate, room float64
	under      float64
	done       float64
	ended      uint64
	limited    uint64
	quickest   int64
	least      time.Duration // that an answer takes
	now        int64
}

func (u *upstreams) step(dt float64) {
	done := min(u.under, u.rate*dt)
	if took := int64(u.least + time.Duration(u.under/u.rate*1e9) + 1); done > 0 && (u.quickest == 0 || took < u.quickest) {
		u.quickest = took
	}
	u.under -= done
	u.done += done
	u.ended += uint64(done * 1000) // thousandths
}

func (u *upstreams) ask() bool {
	if u.under+1 > u.room {
		u.limited++
		return false
	}
	u.under++
	return true
}

// party asks some questions a second.
type party struct {
	rate        float64
	source      func() Source
	zone        func() uint64
	proven      bool
	on, off     time.Duration // it asks in pulses; zero: always
	due         float64
	asked, lost int
}

// play lets parties ask for so long, and returns the share of each that was lost in the last two thirds.
func play(m *Misses, u *upstreams, length time.Duration, parties ...*party) []float64 {
	const step = time.Millisecond
	for at := time.Duration(0); at < length; at += step {
		u.now += int64(step)
		u.step(step.Seconds())
		for _, p := range parties {
			if p.on == 0 || time.Duration(u.now)%(p.on+p.off) < p.on {
				p.due += p.rate * step.Seconds()
			}
			for ; p.due >= 1; p.due-- {
				lost := !m.Admit(p.source(), p.zone(), p.proven) || !u.ask()
				if at > length/3 {
					p.asked++
					if lost {
						p.lost++
					}
				}
			}
		}
		if at%MissInterval == 0 {
			m.Look(&MissLook{Now: u.now, Ended: u.ended / 1000, Limited: u.limited, Quickest: u.quickest})
			u.ended, u.limited, u.quickest = u.ended%1000, 0, 0
		}
	}
	var shares []float64
	for _, p := range parties {
		shares = append(shares, float64(p.lost)/float64(p.asked))
	}
	return shares
}

func TestLightLoseNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	anySource := func() Source { return Source{Bits: uint64(random.Uint32())} }
	anyZone := func() uint64 { return random.Uint64N(5000) * 0x9E3779B97F4A7C15 }
	one := func(n uint64) func() Source { return func() Source { return Source{Bits: n} } }
	zone := func(n uint64) func() uint64 { return func() uint64 { return n * 0x9E3779B97F4A7C15 } }
	for name, attackers := range map[string][]*party{
		"random names of one zone from many sources": {{rate: 5000, source: anySource, zone: zone(77)}},
		"random names of three zones":                {{rate: 3000, source: anySource, zone: zone(77)}, {rate: 2000, source: anySource, zone: zone(78)}, {rate: 1000, source: anySource, zone: zone(79)}},
		"one source and one zone apart":              {{rate: 3000, source: one(9), zone: anyZone}, {rate: 3000, source: anySource, zone: zone(77)}},
		"one source, any zone":                       {{rate: 5000, source: one(9), zone: anyZone}},
		"ten sources, any zone":                      {{rate: 5000, source: func() Source { return Source{Bits: random.Uint64N(10) + 50} }, zone: anyZone}},
	} {
		t.Run(name, func(t *testing.T) {
			m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
			light := &party{rate: 20, source: one(1), zone: anyZone}
			others := &party{rate: 300, source: anySource, zone: anyZone} // many light ones
			shares := play(m, u, 30*time.Second, append([]*party{light, others}, attackers...)...)
			t.Logf("lost: light %.4f, many light ones %.4f, attack %.3f", shares[0], shares[1], shares[2])
			if shares[0] >= 0.01 || shares[1] >= 0.01 {
				t.Errorf("light parties lost %v", shares)
			}
			if attack := attackers[0]; shares[2] > 0.98 || attack.lost == 0 {
				t.Errorf("the attack lost %.3f: room was left unused", shares[2])
			}
		})
	}
}

// An attack in pulses is shed as one that lasts, also where each second look, or all but a few, find room: light parties lose nothing, and after it
// nothing is shed any more.
func TestPulsesAreShed(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ on, off, phase time.Duration }{
		{50 * ms, 200 * ms, 0},
		{100 * ms, 100 * ms, 0},
		{100 * ms, 100 * ms, 50 * ms},
		{100 * ms, 200 * ms, 0},
		{200 * ms, 200 * ms, 0},
		{150 * ms, 400 * ms, 0},
		{100 * ms, 400 * ms, 0},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		anySource := func() Source { return Source{Bits: uint64(random.Uint32())} }
		anyZone := func() uint64 { return random.Uint64N(5000) * 0x9E3779B97F4A7C15 }
		m, u := NewMisses(5), &upstreams{rate: 1000, room: 200, now: int64(c.phase)}
		attack := &party{rate: 5000, source: anySource, zone: func() uint64 { return 77 << 50 }, on: c.on, off: c.off}
		light := &party{rate: 20, source: func() Source { return Source{Bits: 1} }, zone: anyZone}
		others := &party{rate: 300, source: anySource, zone: anyZone}
		shares := play(m, u, 30*time.Second, attack, light, others)
		if shares[1] >= 0.01 || shares[2] >= 0.01 || !m.Shedding() {
			t.Errorf("%v on, %v off, phase %v: light parties lost %v, shedding %v", c.on, c.off, c.phase, shares[1:], m.Shedding())
		}
		play(m, u, 12*time.Second, light, others)
		if m.Shedding() || len(m.AppendHeavy(nil)) > 0 {
			t.Errorf("%v on, %v off, phase %v: long after the attack %v is shed", c.on, c.off, c.phase, m.AppendHeavy(nil))
		}
	}
}

// TestPulsesCostTheirTargetLittle: between pulses those whom they make look heavy, a zone, a forged source, all who have proven nothing, are answered.
func TestPulsesCostTheirTargetLittle(t *testing.T) {
	const on, off, most = 100 * time.Millisecond, 900 * time.Millisecond, 0.25
	random := rand.New(rand.NewPCG(1, 2))
	anySource := func() Source { return Source{Bits: uint64(random.Uint32())} }
	anyZone := func() uint64 { return random.Uint64N(5000) * 0x9E3779B97F4A7C15 }
	few := func() Source { return Source{Bits: random.Uint64N(50) + 1000} }
	victim, zone := func() Source { return Source{Bits: 9} }, func() uint64 { return 77 << 50 }
	for name, c := range map[string]struct{ attack, target party }{
		"a zone":            {party{source: anySource, zone: zone}, party{source: few, zone: zone}},
		"a forged source":   {party{source: victim, zone: anyZone}, party{source: victim, zone: anyZone}},
		"any forged source": {party{source: anySource, zone: random.Uint64}, party{source: few, zone: anyZone}},
	} {
		m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
		c.attack.rate, c.attack.on, c.attack.off, c.target.rate = 5000, on, off, 50
		proven := &party{rate: 50, source: few, zone: anyZone, proven: true}
		shares := play(m, u, 60*time.Second, &c.attack, &c.target, proven)
		t.Logf("%s: lost: attack %.3f, its target %.3f, proven %.3f", name, shares[0], shares[1], shares[2])
		if shares[1] > most || shares[2] > 0.01 || shares[0] < 0.5 {
			t.Errorf("%s: lost %v", name, shares)
		}
	}
}

// TestOneZoneAfterTheOther: an attack whose names are of another zone in each interval is known by what it asks, not only by what it asked. What each may ask
// until then is too much together: others lose a tenth, not all.
func TestOneZoneAfterTheOther(t *testing.T) {
	for _, zones := range []uint64{10, 1000} {
		random := rand.New(rand.NewPCG(1, 2))
		m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
		attack := &party{rate: 5000, source: func() Source { return Source{Bits: uint64(random.Uint32())} }, zone: func() uint64 {
			return (uint64(u.now/int64(MissInterval))%zones + 1) << 40
		}}
		others := &party{rate: 300, source: func() Source { return Source{Bits: random.Uint64N(50) + 1000} }, zone: func() uint64 {
			return random.Uint64N(5000) * 0x9E3779B97F4A7C15
		}}
		if shares := play(m, u, 30*time.Second, attack, others); shares[1] > 0.15 {
			t.Errorf("%d zones: others lost %.3f", zones, shares[1])
		}
	}
}

// TestOldBurstIsForgotten: what happened before a rest of the clients is not part of what happens after it.
func TestOldBurstIsForgotten(t *testing.T) {
	for _, rest := range []time.Duration{0, time.Hour} {
		m := NewMisses(5)
		now := int64(time.Hour)
		look := func(limited uint64) {
			for n := range 100 {
				m.Admit(Source{Bits: uint64(n)}, uint64(n), false)
			}
			now += int64(MissInterval)
			m.Look(&MissLook{Now: now, Ended: 100, Limited: limited})
		}
		look(0)
		look(100)
		look(0)
		now += int64(rest)
		look(0)
		if look(1); m.Shedding() != (rest == 0) {
			t.Errorf("rest of %v: shedding %v", rest, m.Shedding())
		}
	}
}

// Where nobody is to blame, those who have proven where they are lose nothing, and most of what upstreams can do is used. Where nobody has
// proven anything all lose alike.
func TestProvenLoseNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	anySource := func() Source { return Source{Bits: uint64(random.Uint32())} }
	anyZone := func() uint64 { return random.Uint64() }
	for _, proven := range []bool{true, false} {
		m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
		light := &party{rate: 50, source: func() Source { return Source{Bits: random.Uint64N(5)} }, zone: anyZone, proven: proven}
		forged := &party{rate: 5000, source: anySource, zone: anyZone}
		shares := play(m, u, 30*time.Second, light, forged)
		t.Logf("proven %v: lost: light %.4f, forged %.3f", proven, shares[0], shares[1])
		if proven && (shares[0] >= 0.01 || shares[1] > 0.9) || !proven && (shares[0] < 0.3 || shares[1] > 0.9) {
			t.Errorf("proven %v: lost %v", proven, shares)
		}
	}
}

// A flood is shed soon after it has begun: a second later no more is let in than upstreams can do.
func TestShedsSoon(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	m, u := NewMisses(5), &upstreams{rate: 1000, room: 200}
	calm := &party{rate: 100, source: func() Source { return Source{Bits: random.Uint64N(50)} }, zone: random.Uint64}
	play(m, u, 2*time.Second, calm)
	forged := &party{rate: 5000, source: func() Source { return Source{Bits: uint64(random.Uint32())} }, zone: random.Uint64}
	play(m, u, time.Second, calm, forged)
	if _, admitted := m.Rates(); admitted > 1000 {
		t.Errorf("after a second %.0f questions/s are let in, of 1000 that can be answered", admitted)
	}
}

// Without an attack nothing is shed, and after one soon nothing any more; when upstreams come back to their strength all of it is used.
func TestRecovery(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	many := &party{
		rate: 2000, source: func() Source { return Source{Bits: random.Uint64N(300)} }, zone: func() uint64 { return random.Uint64N(40) << 20 },
	}
	m, u := NewMisses(5), &upstreams{rate: 5000, room: 500}
	if shares := play(m, u, 5*time.Second, many); shares[0] != 0 || m.Shedding() {
		t.Errorf("shed %v without need", shares)
	}
	u.rate = 200
	play(m, u, 10*time.Second, many)
	if !m.Shedding() {
		t.Error("nothing is shed although upstreams are slow")
	}
	u.rate = 5000
	play(m, u, 20*time.Second, many)
	many.asked, many.lost = 0, 0
	if shares := play(m, u, 6*time.Second, many); shares[0] > 0.001 || m.Shedding() {
		t.Errorf("lost %v after recovery, shedding %v", shares, m.Shedding())
	}
}

// A burst is no overload.
func TestBurstIsNotShed(t *testing.T) {
	m := NewMisses(5)
	now := int64(time.Hour)
	for i := range 50 {
		for n := range 100 {
			if !m.Admit(Source{Bits: uint64(n)}, uint64(n), false) {
				t.Fatal("shed")
			}
		}
		limited := uint64(0)
		if i%5 == 0 {
			limited = 10
		}
		now += int64(MissInterval)
		m.Look(&MissLook{Now: now, Ended: 100, Limited: limited})
	}
}

// While the worker itself is overloaded, less and less of what is heavy is asked.
func TestOverloadShedsHeavyZones(t *testing.T) {
	m := NewMisses(5)
	now, shed := int64(time.Hour), 0
	for range 60 {
		shed = 0
		for n := range 1000 {
			if !m.Admit(Source{Bits: uint64(n) * 7919}, 42, false) {
				shed++
			}
			if !m.Admit(Source{Bits: uint64(n) * 104729}, uint64(n)*0x9E3779B97F4A7C15, false) {
				t.Fatal("a light zone is shed")
			}
		}
		now += int64(MissInterval)
		m.Look(&MissLook{Now: now, Ended: 2000, Overloaded: true})
	}
	if shed < 900 {
		t.Errorf("%d of 1000 of the heavy zone are shed", shed)
	}
}

func TestZoneOf(t *testing.T) {
	for name, want := range map[string]string{
		".": ".", "example.": "example.", "www.example.": "www.example.", "a.b.victim.example.": "victim.example.",
		"r.victim.co.uk.": "victim.co.uk.", "victim.co.uk.": "victim.co.uk.", "a.b.com.au.": "b.com.au.", "www.heise.de.": "heise.de.",
		"4.3.2.1.in-addr.arpa.": "2.1.in-addr.arpa.", "1.in-addr.arpa.": "1.in-addr.arpa.",
	} {
		buf := make([]byte, 255)
		n, err := dns.PackDomainName(name, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := dns.UnpackDomainName(ZoneOf(buf[:n]), 0)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
}

func TestMissesAllocateNothing(t *testing.T) {
	m := NewMisses(5)
	now, first := int64(time.Hour), uint64(0)
	heaviest := 0
	if n := testing.AllocsPerRun(200, func() {
		first += 100 // others each time, and sometimes more than are listed
		for i := range uint64(4000) {
			m.Admit(Source{Bits: first + i%(2*heavyMax)}, (first+i%10)<<30, false)
		}
		now += int64(MissInterval)
		m.Look(&MissLook{Now: now, Ended: 5, Limited: 5 * (first / 100 % 3)})
		heaviest = max(heaviest, len(m.sources.heavy), len(m.zones.heavy))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if heaviest < 10 || heaviest > heavyMax {
		t.Errorf("%d were heavy at most, the test proves nothing", heaviest)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, shedding := range []bool{false, true} {
		b.Run(fmt.Sprintf("shedding=%v", shedding), func(b *testing.B) {
			m := NewMisses(5)
			m.shedding = shedding
			for i := range heavyMax {
				m.zones.heavy = append(m.zones.heavy, weight{Source{Bits: uint64(i)}, 1 << 31, 1})
				m.sources.heavy = append(m.sources.heavy, weight{Source{Bits: uint64(i)}, 1 << 31, 1})
			}
			for i := 0; b.Loop(); i++ {
				m.Admit(Source{Bits: uint64(i & 1023)}, uint64(i&511), false)
			}
		})
	}
}
