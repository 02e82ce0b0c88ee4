package census

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
)

func counter(t testing.TB, cfg Config) *Counter {
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c := New(cfg)
	c.HandOver(1)
	return c
}

func v4(bits uint32) admission.Source { return admission.Source{Bits: uint64(bits)} }

func wireName(t testing.TB, name string) []byte {
	buf := make([]byte, 255)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// take hands the tally over and returns it.
func take(t *testing.T, c *Counter, now int64) *Tally {
	c.HandOver(now)
	tally := c.Take()
	if tally == nil {
		t.Fatal("no tally")
	}
	return tally
}

func TestSourcesAreCountedInFull(t *testing.T) {
	c := counter(t, Config{IPv4Bits: 24, IPv6Bits: 56, Types: []uint16{wire.TypeANY, wire.TypeTXT}})
	c.Query(v4(0x7f000101), wire.TypeANY)
	c.Query(v4(0x7f000102), wire.TypeTXT)
	c.Query(v4(0x7f000102), wire.TypeA)
	c.Query(v4(0x7f000201), wire.TypeA)
	c.Query(admission.Source{Bits: 0x20010db8000001ff, V6: true}, wire.TypeA)
	c.Query(admission.Source{Bits: 0x20010db800000100, V6: true}, wire.TypeA)
	c.Miss(v4(0x7f000101), wireName(t, "a.example."), 1)
	for _, rcode := range []uint16{wire.RCodeNoError, wire.RCodeNXDomain, wire.RCodeServFail, wire.RCodeRefused, wire.RCodeFormErr} {
		c.Answer(v4(0x7f0001ff), rcode, 100)
	}
	c.Answer(v4(0x0a000001), wire.RCodeNoError, 100) // nobody we know
	got := map[string]SourceCount{}
	for s := range take(t, c, int64(2*time.Second)).Sources {
		got[s.Source().Prefix().Masked().String()] = *s
	}
	if len(got) != 3 {
		t.Fatalf("sources: %v", got)
	}
	s := got["127.0.1.0/32"]
	if s.Queries != 3 || s.Misses != 1 || s.Answers != 5 || s.Bytes != 500 || s.RCodes != [RCodes]uint32{1, 1, 1, 1} || s.Types[0] != 1 || s.Types[1] != 1 {
		t.Errorf("127.0.1.0/24: %+v", s)
	}
	if s = got["2001:db8:0:100::/64"]; s.Queries != 2 {
		t.Errorf("IPv6 /56: %+v of %v", s, got)
	}
}

// A flood of forged sources does not hide who asks much, and never makes anybody seem to ask more than they did.
func TestHeavyStayUnderForgedSources(t *testing.T) {
	c := counter(t, Config{IPv4Bits: 32, IPv6Bits: 64})
	random := rand.New(rand.NewPCG(1, 2))
	sent := map[admission.Source]uint32{}
	for i := range 1_000_000 {
		s := v4(random.Uint32())
		if i%50 == 0 {
			s = v4(0x7f000000 | uint32(i/50%20)) // twenty with 1/1000 of all each
		}
		sent[s]++
		c.Query(s, wire.TypeA)
	}
	heavy := 0
	for s := range take(t, c, int64(2*time.Second)).Sources {
		if s.Queries > sent[s.Source()] {
			t.Errorf("%v sent %d, counted %d", s.Source().Prefix(), sent[s.Source()], s.Queries)
		}
		if s.Source().Bits>>24 == 0x7f && s.Queries > sent[s.Source()]/2 {
			heavy++
		}
	}
	if heavy < 18 {
		t.Errorf("%d of 20 heavy sources were counted", heavy)
	}
}

func TestZonesAreCountedAtSeveralDepths(t *testing.T) {
	c := counter(t, Config{IPv4Bits: 32, IPv6Bits: 64, Zones: true})
	seed := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		name := wireName(t, fmt.Sprintf("r%d.victim.co.example.", i))
		c.Miss(v4(1), name, seed.Uint64())
		c.Outcome(name, wire.RCodeNXDomain)
	}
	popular := wireName(t, "www.victim.co.example.")
	for range 100 {
		c.Miss(v4(1), popular, 77)
		c.Outcome(popular, wire.RCodeNoError)
	}
	long := wireName(t, "a."+string(make63())+".example.")
	c.Miss(v4(1), long, 1)
	got := map[string]ZoneCount{}
	for z := range take(t, c, int64(2*time.Second)).Zones {
		name, _, err := dns.UnpackDomainName(z.Name(), 0)
		if err != nil {
			t.Fatal(err)
		}
		got[name] = *z
	}
	if len(got) != 2 {
		t.Fatalf("zones %v", got)
	}
	for _, name := range []string{"victim.co.example.", "co.example."} {
		z := got[name]
		if z.Misses != 3100 || z.Answers != 3100 || z.RCodes[NXDomain] != 3000 {
			t.Errorf("%s: %d misses, %d answers, %v", name, z.Misses, z.Answers, z.RCodes)
		}
		if n := z.Distinct.Count(); n < 1800 || n > 4500 {
			t.Errorf("%s: about %.0f names", name, n)
		}
	}
}

func make63() []byte {
	b := make([]byte, 63)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

func TestDistinctIsClose(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 10, 100, 1000, 100_000} {
		sum := 0.0
		for range 20 {
			var d, half Distinct
			for i := range n {
				h := random.Uint64()
				for range 3 {
					if i%2 == 0 {
						d.Add(h)
					} else {
						half.Add(h)
					}
				}
			}
			d.Merge(&half)
			sum += d.Count()
		}
		if mean := sum / 20; math.Abs(mean-float64(n)) > 0.15*float64(n)+0.5 {
			t.Errorf("%d things: %.1f in the mean of 20", n, mean)
		}
	}
}

// While the judge is late nothing is lost, and the tally says how long it counted.
func TestLateJudge(t *testing.T) {
	c := counter(t, Config{IPv4Bits: 32, IPv6Bits: 64})
	second := int64(time.Second)
	c.HandOver(second)
	if c.Take() != nil {
		t.Fatal("handed over before it was due")
	}
	c.Query(v4(1), 1)
	c.HandOver(2 * second)
	c.Query(v4(1), 1)
	c.HandOver(3 * second)
	c.Query(v4(1), 1)
	first := c.Take()
	c.HandOver(5 * second) // the first one is not back
	c.Return(first)
	c.HandOver(6 * second)
	second2 := c.Take()
	var queries uint32
	for s := range second2.Sources {
		queries += s.Queries
	}
	if queries != 2 || second2.Began != 2*second || second2.Ended != 6*second {
		t.Errorf("%d queries from %d to %d", queries, second2.Began, second2.Ended)
	}
	c.Return(second2)
	c.HandOver(8 * second)
	for s := range c.Take().Sources {
		t.Errorf("left over: %+v", s)
	}
}

func TestRangesAreChecked(t *testing.T) {
	for _, cfg := range []Config{{0, 64, nil, false}, {33, 64, nil, false}, {32, 0, nil, false}, {32, 65, nil, false}, {32, 64, make([]uint16, TypesMax+1), false}} {
		if err := cfg.Validate(); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	c := counter(t, Config{IPv4Bits: 32, IPv6Bits: 64, Types: []uint16{255}, Zones: true})
	name := wireName(t, "a.b.c.d.e.example.")
	var now int64
	if n := testing.AllocsPerRun(100, func() {
		c.Query(v4(uint32(now)), 1)
		c.Miss(v4(uint32(now)), name, uint64(now))
		c.Outcome(name, 3)
		c.Answer(v4(uint32(now)), 3, 100)
		now += int64(time.Second)
		c.HandOver(now)
		if t := c.Take(); t != nil {
			c.Return(t)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMiss(f *testing.F) {
	f.Add(wireName(f, "a.b.c.example."))
	f.Add([]byte{0})
	c := counter(f, Config{IPv4Bits: 32, IPv6Bits: 64, Zones: true})
	f.Fuzz(func(_ *testing.T, name []byte) {
		if _, n, err := dns.UnpackDomainName(name, 0); err != nil || n != len(name) {
			return
		}
		c.Miss(v4(1), name, 1)
		c.Outcome(name, 0)
	})
}

func BenchmarkQueryAndAnswer(b *testing.B) {
	c := counter(b, Config{IPv4Bits: 32, IPv6Bits: 64, Types: []uint16{255}})
	var from [4096]admission.Source
	for i := range from {
		from[i] = v4(binary.LittleEndian.Uint32([]byte{byte(i), byte(i >> 8), 0, 127}))
	}
	for i := 0; b.Loop(); i++ {
		c.Query(from[i&1023], 1)
		c.Answer(from[i&1023], 0, 100)
	}
}

func BenchmarkMiss(b *testing.B) {
	c := counter(b, Config{IPv4Bits: 32, IPv6Bits: 64, Zones: true})
	name := wireName(b, "random.victim.co.example.")
	for i := 0; b.Loop(); i++ {
		c.Miss(v4(1), name, uint64(i))
	}
}
