package limit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/ring"
)

const second = int64(time.Second)

func path(text string) *ring.Path {
	p := new(ring.Path)
	p.SetAddr(netip.AddrPortFrom(netip.MustParseAddr(text), 4000))
	return p
}

func newLimiter(t testing.TB, workers int, edit func(*Config)) *Limiter {
	t.Helper()
	cfg := Config{Window: 15 * time.Second, IPv4Bits: 24, IPv6Bits: 56}
	edit(&cfg)
	l, err := New(&cfg, nil, workers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// admitted asks n times, evenly in a span that begins at now, and returns how often that was allowed and what refused it last.
func admitted(l *Limiter, q Query, n int, now, span int64) (ok int, by Kind) {
	for i := range n {
		kind, good := l.Admit(&q, now+int64(i)*span/int64(n))
		if good {
			ok++
		} else {
			by = kind
		}
	}
	return ok, by
}

func TestRatesAndBursts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    Kind
		rate    Rate
		workers int
		query   Query
		burst   int // admitted of 1000 at once
		in10s   int // and of 10,000 in the 10 s after that
	}{
		{"IPv4 address", IPv4Address, Rate{10, 20}, 1, Query{Path: path("192.0.2.1")}, 20, 100},
		{"no burst of its own", IPv4Address, Rate{10, 0}, 1, Query{Path: path("192.0.2.1")}, 10, 100},
		{"a worker's share", IPv4Address, Rate{10, 20}, 2, Query{Path: path("192.0.2.1")}, 10, 50},
		{"a share of less than one", IPv4Address, Rate{1, 1}, 4, Query{Path: path("192.0.2.1")}, 1, 2},
		{"IPv4 network", IPv4Network, Rate{10, 20}, 1, Query{Path: path("192.0.2.1")}, 20, 100},
		{"IPv4 over an IPv6 socket", IPv4Address, Rate{10, 20}, 1, Query{Path: path("::ffff:192.0.2.1")}, 20, 100},
		{"IPv6 address", IPv6Address, Rate{10, 20}, 1, Query{Path: path("2001:db8::1")}, 20, 100},
		{"IPv6 link", IPv6Link, Rate{10, 20}, 1, Query{Path: path("2001:db8::1")}, 20, 100},
		{"IPv6 site", IPv6Site, Rate{10, 20}, 1, Query{Path: path("2001:db8::1")}, 20, 100},
		{"cookie", Cookie, Rate{10, 20}, 1, Query{Path: path("192.0.2.1"), Proven: true}, 20, 100},
		{"TCP", TCP, Rate{10, 20}, 1, Query{Path: path("192.0.2.1"), TCP: true}, 20, 100},
		{"another kind's", IPv4Address, Rate{10, 20}, 1, Query{Path: path("2001:db8::1")}, 1000, 10000},
		{"over TCP", IPv4Address, Rate{10, 20}, 1, Query{Path: path("192.0.2.1"), TCP: true}, 1000, 10000},
		{"a cookie without an allowance of its own", IPv4Address, Rate{10, 20}, 1, Query{Path: path("192.0.2.1"), Proven: true}, 20, 100},
	} {
		l := newLimiter(t, tt.workers, func(c *Config) { c.Rates[tt.kind] = tt.rate })
		now := 77 * second
		burst, by := admitted(l, tt.query, 1000, now, 0)
		later, _ := admitted(l, tt.query, 10000, now, 10*second)
		if burst != tt.burst || later < tt.in10s-1 || later > tt.in10s || burst < 1000 && by != tt.kind {
			t.Errorf("%s: %d at once, %d in the 10 s after that, by %v; want %d, %d", tt.name, burst, later, by, tt.burst, tt.in10s)
		}
	}
}

// Who shares a bucket with whom.
func TestPrefixes(t *testing.T) {
	for _, tt := range []struct {
		kind       Kind
		one, other string
		shared     bool
	}{
		{IPv4Address, "192.0.2.1", "192.0.2.2", false},
		{IPv4Network, "192.0.2.1", "192.0.2.255", true},
		{IPv4Network, "192.0.2.1", "192.0.3.1", false},
		{IPv6Address, "2001:db8::1", "2001:db8::2", false},
		{IPv6Link, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{IPv6Link, "2001:db8::1", "2001:db8:0:1::1", false},
		{IPv6Site, "2001:db8::1", "2001:db8:0:ff::1", true},
		{IPv6Site, "2001:db8::1", "2001:db8:0:100::1", false},
		{Cookie, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{Cookie, "192.0.2.1", "192.0.2.2", false},
		{TCP, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{TCP, "192.0.2.1", "192.0.2.2", false},
	} {
		l := newLimiter(t, 1, func(c *Config) { c.Rates[tt.kind] = Rate{1, 1} })
		one := Query{Path: path(tt.one), TCP: tt.kind == TCP, Proven: tt.kind == Cookie}
		other := one
		other.Path = path(tt.other)
		if n, _ := admitted(l, one, 2, 0, 0); n != 1 {
			t.Fatalf("%v: %d admitted", tt.kind, n)
		}
		if _, ok := l.Admit(&other, 0); ok == tt.shared {
			t.Errorf("%v: %s after %s is admitted: %v", tt.kind, tt.other, tt.one, ok)
		}
	}
}

// A source that is over its own limit costs its network no more than that limit, so its neighbours are not refused.
func TestNeighboursKeepTheirShare(t *testing.T) {
	l := newLimiter(t, 1, func(c *Config) {
		c.Rates[IPv4Address], c.Rates[IPv4Network] = Rate{10, 10}, Rate{40, 40}
		c.Rates[IPv6Address], c.Rates[IPv6Link], c.Rates[IPv6Site] = Rate{10, 10}, Rate{20, 20}, Rate{40, 40}
	})
	for _, pair := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8:0:1::1"}} {
		heavy, light := Query{Path: path(pair[0])}, Query{Path: path(pair[1])}
		refused := 0
		for now := int64(0); now < 20*second; now += second / 1000 {
			l.Admit(&heavy, now)
			if now%(second/5) == 0 {
				if _, ok := l.Admit(&light, now); !ok {
					refused++
				}
			}
		}
		if refused != 0 {
			t.Errorf("%s: %d refused because of %s", pair[1], refused, pair[0])
		}
	}
	// But a network whose every address stays below its own limit is held to that of the network.
	ok := 0
	for now := int64(30 * second); now < 40*second; now += second / 100 {
		q := Query{Path: path(fmt.Sprintf("198.51.100.%d", now/(second/100)%100))}
		if _, good := l.Admit(&q, now); good {
			ok++
		}
	}
	if ok < 400 || ok > 440 {
		t.Errorf("a network was admitted %d times in 10 s, want 400 and a burst of 40", ok)
	}
}

func TestExempt(t *testing.T) {
	l := newLimiter(t, 1, func(c *Config) {
		c.Rates[IPv4Address], c.Rates[IPv4Network], c.Rates[TCP], c.Rates[Answers] = Rate{1, 1}, Rate{5, 5}, Rate{1, 1}, Rate{1, 1}
		c.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	})
	exempt, other := Query{Path: path("192.0.2.1")}, Query{Path: path("192.0.2.2")}
	for _, tcp := range []bool{false, true} {
		exempt.TCP, other.TCP = tcp, tcp
		if n, _ := admitted(l, exempt, 100, 0, 0); n != 100 {
			t.Errorf("exempt, TCP %v: %d of 100", tcp, n)
		}
		if n, _ := admitted(l, other, 100, 0, 0); n != 1 {
			t.Errorf("its neighbour, TCP %v: %d of 100", tcp, n)
		}
	}
	for range 10 {
		if !l.Tell(&Reply{Path: exempt.Path, Kind: Answers, Name: []byte("\x01a\x00"), Type: 1}, 0) {
			t.Error("a reply to the exempt one was held back")
		}
	}
}

// TestRandomSources: ten million sources that never come again, forged or not, ask between the queries of heavy and light ones. The heavy ones
// stay held to their rate, the light ones are never refused.
func TestRandomSources(t *testing.T) {
	sources := 10_000_000
	if testing.Short() || raceDetector {
		sources /= 10
	}
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			l := newLimiter(t, 1, func(c *Config) {
				c.Rates[IPv4Address], c.Rates[IPv4Network] = Rate{20, 40}, Rate{200, 400}
				c.Rates[IPv6Address], c.Rates[IPv6Link], c.Rates[IPv6Site] = Rate{20, 40}, Rate{40, 80}, Rate{200, 400}
			})
			const heavies, lights = 50, 2000
			known := func(i int) *ring.Path { // in networks of their own
				if v6 {
					return path(fmt.Sprintf("2001:db8:%x:%x::1", i, i))
				}
				return path(fmt.Sprintf("10.%d.%d.1", i/256, i%256))
			}
			var paths []*ring.Path
			for i := range heavies + lights {
				paths = append(paths, known(i))
			}
			random := rand.New(rand.NewPCG(1, 2))
			stranger := path("2001:db8::1")
			if !v6 {
				stranger = path("192.0.2.1")
			}
			admittedHeavy, refusedLight, askedLight, refusedStrangers, light := 0, 0, 0, 0, 0
			now := second
			for n := range sources { // a million a second
				now += 1000
				if v6 {
					binary.BigEndian.PutUint64(stranger.Name[8:], random.Uint64())
					binary.BigEndian.PutUint64(stranger.Name[16:], random.Uint64())
				} else {
					binary.BigEndian.PutUint32(stranger.Name[4:], random.Uint32())
				}
				if _, ok := l.Admit(&Query{Path: stranger}, now); !ok {
					refusedStrangers++
				}
				if n%100 == 0 { // each of 50 heavy ones 200 times a second
					if _, ok := l.Admit(&Query{Path: paths[n/100%heavies]}, now); ok {
						admittedHeavy++
					}
				}
				if n%500 == 0 { // each of 2000 light ones once a second
					askedLight++
					if _, ok := l.Admit(&Query{Path: paths[heavies+light%lights]}, now); !ok {
						refusedLight++
					}
					light++
				}
			}
			took := float64(now-second) / float64(second)
			fair := heavies * (40 + 20*took)
			t.Logf("%.0f s: heavy ones %d admitted of %d, fair %.0f; light ones refused %d of %d; strangers refused %d of %d",
				took, admittedHeavy, sources/100, fair, refusedLight, askedLight, refusedStrangers, sources)
			if float64(admittedHeavy) > 1.02*fair || float64(admittedHeavy) < 0.98*fair {
				t.Errorf("heavy sources were admitted %d times, want %.0f", admittedHeavy, fair)
			}
			if refusedLight != 0 {
				t.Errorf("light sources were refused %d times", refusedLight)
			}
			if refusedStrangers > sources/10000 {
				t.Errorf("sources that came once were refused %d times", refusedStrangers)
			}
		})
	}
}

// Against a limiter that has a bucket for everybody in a map.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 9))
		cfg := Config{}
		for k := range Answers {
			if random.IntN(4) != 0 {
				cfg.Rates[k] = Rate{PerSecond: 1 + random.IntN(50), Burst: random.IntN(60)}
			}
		}
		l := newLimiter(t, 1, func(c *Config) { *c = cfg })
		model := map[string]float64{} // tokens missing, times
		at := map[string]int64{}
		now := second
		for step := range 30000 {
			now += random.Int64N(second / 100)
			q := Query{Path: path(fmt.Sprintf("10.0.%d.%d", random.IntN(2), random.IntN(3))), TCP: random.IntN(5) == 0, Proven: random.IntN(5) == 0}
			if random.IntN(2) == 0 {
				q.Path = path(fmt.Sprintf("2001:db8:0:%x::%x", random.IntN(3)*0x81, random.IntN(3)))
			}
			var names []string
			ok := true
			for _, k := range kindsOf(&q, &cfg) {
				p, _ := q.Path.Addr().Addr().Prefix(k.bits)
				name := fmt.Sprint(k.kind, p)
				r := cfg.Rates[k.kind]
				burst := r.Burst
				if burst == 0 {
					burst = r.PerSecond
				}
				model[name] = max(0, model[name]-float64(now-at[name])*float64(r.PerSecond)/1e9)
				at[name] = now
				if model[name]+1 > float64(burst)+1e-6 {
					ok = false
				}
				names = append(names, name)
			}
			if ok {
				for _, name := range names {
					model[name]++
				}
			}
			if _, got := l.Admit(&q, now); got != ok {
				t.Fatalf("seed %d, step %d: %v over TCP %v, proven %v: admitted %v, want %v", seed, step, q.Path.Addr(), q.TCP, q.Proven, got, ok)
			}
		}
	}
}

func kindsOf(q *Query, cfg *Config) (list []step) {
	s := sourceOf(q.Path)
	var all []step
	switch {
	case q.TCP:
		all = []step{{TCP, s.whole()}}
	case q.Proven && cfg.Rates[Cookie].PerSecond != 0:
		all = []step{{Cookie, s.whole()}}
	case s.v6:
		all = ladder6[:]
	default:
		all = ladder4[:]
	}
	for _, s := range all {
		if cfg.Rates[s.kind].PerSecond != 0 {
			list = append(list, s)
		}
	}
	return list
}

// Who is reported, from when to when.
func TestOffenders(t *testing.T) {
	l := newLimiter(t, 1, func(c *Config) { c.Rates[IPv4Address] = Rate{10, 10} })
	heavy := Query{Path: path("192.0.2.1")}
	now := second
	if l.Look(now) || l.Offenders() != 0 {
		t.Error("somebody is reported before anything was asked")
	}
	admitted(l, heavy, 10, now, 0)
	now += second
	if l.Look(now) {
		t.Error("somebody is reported who was not refused")
	}
	for range 3 {
		admitted(l, heavy, 20, now, 0)
		now += second
		l.Look(now)
	}
	got := l.Report()
	if len(got) != 1 || got[0].Prefix != netip.MustParsePrefix("192.0.2.1/32") || got[0].Kind != IPv4Address || got[0].Refused != 30 {
		t.Errorf("reported %v", got)
	}
	last := now - second // of the last refusal
	if l.Look(last+quiet-1) || l.Offenders() != 1 {
		t.Error("over too early")
	}
	if !l.Look(last+quiet+second) || l.Offenders() != 0 || len(l.Report()) != 0 {
		t.Error("not over when nobody has been refused for long enough")
	}
	for i := range 2 * offendersMax {
		admitted(l, Query{Path: path(fmt.Sprintf("10.0.%d.1", i))}, 20, last+2*quiet, 0)
	}
	if l.Offenders() != offendersMax || len(l.Report()) != offendersMax {
		t.Errorf("%d are reported", l.Offenders())
	}
}

func TestSet(t *testing.T) {
	l := newLimiter(t, 1, func(c *Config) { c.Rates[IPv4Address] = Rate{10, 10} })
	heavy := Query{Path: path("192.0.2.1")}
	admitted(l, heavy, 10, 0, 0)
	if err := l.Set(&Config{Rates: [KindCount]Rate{IPv4Address: {10, 30}}}, nil, 1); err != nil {
		t.Fatal(err)
	}
	if n, _ := admitted(l, heavy, 100, 0, 0); n != 20 {
		t.Errorf("%d more with a deeper bucket, want 20: it keeps what was taken", n)
	}
	if err := l.Set(&Config{Rates: [KindCount]Rate{TCP: {10, 30}}}, nil, 1); err != nil {
		t.Fatal(err)
	}
	if n, _ := admitted(l, heavy, 100, 0, 0); n != 100 {
		t.Errorf("%d of 100 without a limit", n)
	}
	if l.Set(&Config{Slip: 11}, nil, 1) == nil || l.Set(&Config{}, nil, 0) == nil {
		t.Error("accepted")
	}
}

func TestValidate(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"rate":            func(c *Config) { c.Rates[TCP].PerSecond = RateMax + 1 },
		"negative rate":   func(c *Config) { c.Rates[TCP].PerSecond = -1 },
		"burst":           func(c *Config) { c.Rates[TCP].Burst = RateMax + 1 },
		"action":          func(c *Config) { c.Action = 3 },
		"slip":            func(c *Config) { c.Slip = SlipMax + 1 },
		"slip of replies": func(c *Config) { c.ReplySlip = -1 },
		"exempt":          func(c *Config) { c.Exempt = []netip.Prefix{{}} },
		"exempt, mapped":  func(c *Config) { c.Exempt = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")} },
		"many exempt":     func(c *Config) { c.Exempt = make([]netip.Prefix, ExemptMax+1) },
		"window":          func(c *Config) { c.Window = 0 },
		"long window":     func(c *Config) { c.Window = WindowMax + 1 },
		"IPv4 bits":       func(c *Config) { c.IPv4Bits = 33 },
		"IPv6 bits":       func(c *Config) { c.IPv6Bits = 0 },
	} {
		c := Config{Window: 15 * time.Second, IPv4Bits: 24, IPv6Bits: 56}
		c.Rates[Errors].PerSecond = 5
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		edit(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	l := newLimiter(t, 1, allOn)
	v4, v6 := path("192.0.2.1"), path("2001:db8::1")
	now := second
	name := []byte("\x03www\x07EXAMPLE\x03com\x00")
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		for _, p := range []*ring.Path{v4, v6} {
			l.Admit(&Query{Path: p}, now)
			l.Admit(&Query{Path: p, TCP: true}, now)
			l.Admit(&Query{Path: p, Proven: true}, now)
			l.Tell(&Reply{Path: p, Kind: Answers, Name: name, Type: 1}, now)
			l.Tell(&Reply{Path: p, Kind: NXDomains, Name: name}, now)
			l.Tell(&Reply{Path: p, Kind: Errors}, now)
		}
		l.Look(now)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func allOn(c *Config) {
	for k := range c.Rates {
		c.Rates[k] = Rate{PerSecond: 100}
	}
	c.Exempt = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
}

// BenchmarkAdmit: what a query costs, for a source that is known, and for ever new ones, each of which takes two or three lines of the table from
// memory.
func BenchmarkAdmit(b *testing.B) {
	for _, tt := range []struct {
		name    string
		address string
		proven  bool
		random  bool
		refused bool
	}{
		{name: "v4", address: "192.0.2.1"},
		{name: "v4-cookie", address: "192.0.2.1", proven: true},
		{name: "v4-refused", address: "192.0.2.1", refused: true},
		{name: "v6", address: "2001:db8::1"},
		{name: "v4-random", address: "192.0.2.1", random: true},
		{name: "v6-random", address: "2001:db8::1", random: true},
	} {
		b.Run(tt.name, func(b *testing.B) {
			rate := RateMax
			if tt.refused {
				rate = 1
			}
			l := newLimiter(b, 1, func(c *Config) {
				for k := range Answers {
					c.Rates[k] = Rate{PerSecond: rate, Burst: rate}
				}
			})
			q := Query{Path: path(tt.address), Proven: tt.proven}
			at := q.Path.Name[8:]
			if len(q.Path.IP()) == 4 {
				at = q.Path.Name[4:]
			}
			now, state := second, uint32(1)
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				if now += 2000; tt.random {
					state = state*1664525 + 1013904223
					binary.BigEndian.PutUint32(at, state)
				}
				l.Admit(&q, now)
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used of CPUs, which others that use the machine do not lengthen.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestGroups: a group has its limits and its buckets, also of networks that others ask from; one without limits of its own is like the rest.
func TestGroups(t *testing.T) {
	own := &Config{}
	own.Rates[IPv4Address].PerSecond, own.Rates[IPv4Network].PerSecond, own.Rates[TCP].PerSecond = 5, 6, 2
	l, err := New(&Config{Rates: [KindCount]Rate{IPv4Address: {PerSecond: 1}, IPv4Network: {PerSecond: 2}}}, []Group{{Number: 7, Config: own}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	admitted := func(address string, group uint8, tcp bool) (n int) {
		for range 20 {
			if _, ok := l.Admit(&Query{Path: path(address), Group: group, TCP: tcp}, second); ok {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		name, address string
		group         uint8
		tcp           bool
		want          int
	}{
		{"the group", "192.0.2.1", 7, false, 5},
		{"another one of its network", "192.0.2.2", 7, false, 1},
		{"another one over TCP", "192.0.2.3", 7, true, 2},
		{"the rest, from the same network", "192.0.2.4", 0, false, 1},
		{"a group without limits of its own", "192.0.2.5", 8, false, 1},
		{"the network of the rest", "192.0.2.6", 0, false, 0},
		{"the rest over TCP", "192.0.2.7", 0, true, 20},
	} {
		if n := admitted(tt.address, tt.group, tt.tcp); n != tt.want {
			t.Errorf("%s: %d of 20, want %d", tt.name, n, tt.want)
		}
	}
	if err := l.Set(&Config{}, []Group{{Number: 7, Config: own}}, 1); err != nil || admitted("192.0.2.1", 7, false) != 0 || admitted("192.0.2.9", 0, false) != 20 {
		t.Errorf("a reload: %v, or the group's buckets are full again", err)
	}
	if l.Set(&Config{}, []Group{{Number: 1, Config: &Config{Slip: 11}}}, 1) == nil {
		t.Error("wrong limits of a group were accepted")
	}
}
