package admission

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"secure-dns-proxy/ring"
)

// TestSketchKeepsTheHeavy: among a million sources that come once those that come often are found, with their counts; what is certain is
// never more than the truth.
func TestSketchKeepsTheHeavy(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var s Sketch
	s.Seed(random.Uint64())
	truth := map[Source]uint32{}
	for range 300_000 {
		source := Source{Bits: uint64(random.Uint32())}
		switch n := random.IntN(100); {
		case n < 8: // 1 % each
			source = Source{Bits: uint64(n)}
		case n < 12:
			source = Source{Bits: uint64(n), V6: true}
		case n < 50:
			source = Source{Bits: random.Uint64(), V6: true}
		}
		truth[source]++
		s.Add(source)
	}
	if s.Total() != 300_000 {
		t.Errorf("total %d", s.Total())
	}
	counts := s.AppendCounts(nil, 1)
	if len(counts) > 2*setsPerFamily*ways {
		t.Errorf("%d sources", len(counts))
	}
	for _, c := range counts {
		if c.Seen > truth[c.Source] || c.Seen != s.Seen(c.Source) {
			t.Errorf("%v: seen %d and %d times, in truth %d", c.Source.Prefix(), c.Seen, s.Seen(c.Source), truth[c.Source])
		}
	}
	for n := range uint64(12) {
		source := Source{Bits: n, V6: n >= 8}
		if got, want := s.Seen(source), truth[source]; got < want-want/10 {
			t.Errorf("%v: seen %d times, in truth %d", source.Prefix(), got, want)
		}
	}
	if few := s.AppendCounts(nil, 1000); len(few) != 12 {
		t.Errorf("%d sources were seen 1000 times, want 12", len(few))
	}
	s.Reset()
	if s.Total() != 0 || len(s.AppendCounts(nil, 1)) != 0 || s.Seen(Source{Bits: 1}) != 0 {
		t.Error("not empty after Reset")
	}
}

func TestSourceOf(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":                  "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::/64",
		"0:0:0:0:0:0:c000:201":       "::/64",
		"0:0:0:0:0:ffff:c000:201%no": "192.0.2.1/32", // as an IPv6 socket reports IPv4
	} {
		var p ring.Path
		if text, mapped := cutZone(text); mapped {
			ip := netip.MustParseAddr(text).As16()
			copy(p.Name[8:], ip[:])
			p.NameLen = 28
		} else {
			p.SetAddr(netip.AddrPortFrom(netip.MustParseAddr(text), 4711))
		}
		if got := SourceOf(&p).Prefix().String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func cutZone(text string) (string, bool) {
	for i := range text {
		if text[i] == '%' {
			return text[:i], true
		}
	}
	return text, false
}

// BenchmarkSketchAdd is what one sampled datagram costs.
func BenchmarkSketchAdd(b *testing.B) {
	for _, sources := range []int{4, 1 << 20} {
		b.Run(fmt.Sprint(sources), func(b *testing.B) {
			var s Sketch
			s.Seed(0x1234567)
			n := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				n = n*6364136223846793005 + 1442695040888963407
				s.Add(Source{Bits: n >> 33 & uint64(sources-1)})
			}
		})
	}
}
