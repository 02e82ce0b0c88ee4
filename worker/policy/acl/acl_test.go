package acl

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestLongestPrefixDecides(t *testing.T) {
	l, err := New(prefixes("10.0.0.0/8", "10.1.2.0/24", "2001:db8::/32", "192.0.2.1/32"), prefixes("10.1.0.0/16", "2001:db8:1::/48"))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.0.0.1": true, "10.1.0.1": false, "10.1.2.3": true, "10.1.3.3": false, "10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false,
		"::ffff:10.0.0.1": true, "::ffff:10.1.0.1": false, "::10.0.0.1": false,
		"2001:db8::1": true, "2001:db8:1::1": false, "2001:db9::": false,
		"192.0.2.1": true, "192.0.2.2": false, "127.0.0.1": false, "::1": false,
	} {
		if got := l.Allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
	if l.Allows(netip.Addr{}) {
		t.Error("no address at all may ask")
	}
	if l.Len() != 6 {
		t.Errorf("%d prefixes", l.Len())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, bad := range []struct{ allow, deny []netip.Prefix }{
		{prefixes("10.0.0.0/8"), prefixes("10.0.0.0/8")},
		{prefixes("10.0.0.1/8"), nil},
		{nil, prefixes("::ffff:10.0.0.0/104")},
		{[]netip.Prefix{{}}, nil},
	} {
		if _, err := New(bad.allow, bad.deny); err == nil {
			t.Errorf("%v %v: accepted", bad.allow, bad.deny)
		}
	}
	if _, err := New(prefixes("10.0.0.0/8", "10.0.0.0/8"), nil); err != nil {
		t.Errorf("the same prefix twice on one side: %v", err)
	}
}

// FuzzAgainstScan compares with a scan over all prefixes.
func FuzzAgainstScan(f *testing.F) {
	f.Add(uint64(1), uint32(0x0A000001))
	f.Fuzz(func(t *testing.T, seed uint64, address uint32) {
		random := rand.New(rand.NewPCG(seed, 1))
		var sides [2][]netip.Prefix
		for range 20 {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], address^random.Uint32()>>random.IntN(32))
			sides[random.IntN(2)] = append(sides[random.IntN(2)], netip.PrefixFrom(netip.AddrFrom4(b), random.IntN(33)).Masked())
		}
		l, err := New(sides[0], sides[1])
		if err != nil {
			return
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], address)
		a, longest, want := netip.AddrFrom4(b), -1, false
		for side, list := range sides {
			for _, p := range list {
				if p.Contains(a) && p.Bits() > longest {
					longest, want = p.Bits(), side == 0
				}
			}
		}
		if got := l.Allows(a); got != want {
			t.Errorf("%v in %v: got %v, want %v", a, sides, got, want)
		}
	})
}

func TestAllowsAllocatesNothing(t *testing.T) {
	l, _ := New(prefixes("10.0.0.0/8", "fc00::/7"), nil)
	a, b := netip.MustParseAddr("10.2.3.4"), netip.MustParseAddr("fd00::1")
	if n := testing.AllocsPerRun(100, func() { l.Allows(a); l.Allows(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAllows: an address in one of the default's prefixes, and among 100,000.
func BenchmarkAllows(b *testing.B) {
	small, _ := New(prefixes("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"), nil)
	var many []netip.Prefix
	for i := range 100_000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i)}), 24))
	}
	large, _ := New(many, nil)
	for _, l := range []*List{small, large} {
		b.Run(fmt.Sprint(l.Len()), func(b *testing.B) {
			addrs := [4]netip.Addr{netip.MustParseAddr("10.2.3.4"), netip.MustParseAddr("192.168.7.8"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("0.9.3.4")}
			b.ReportAllocs()
			for i := range b.N {
				l.Allows(addrs[i&3])
			}
		})
	}
}
