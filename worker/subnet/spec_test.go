package subnet

import (
	"net/netip"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// option makes a client's option of text such as "192.0.2.0/24".
func option(text string) *wire.Subnet {
	p := netip.MustParsePrefix(text)
	s := &wire.Subnet{Family: wire.FamilyIPv4, Bits: uint8(p.Bits())}
	if p.Addr().Is6() {
		s.Family = wire.FamilyIPv6
	}
	copy(s.Addr[:], p.Addr().AsSlice())
	return s
}

func text(s wire.Subnet) string {
	a := netip.AddrFrom16(s.Addr)
	if s.Family == wire.FamilyIPv4 {
		a = netip.AddrFrom4([4]byte(s.Addr[:4]))
	}
	return netip.PrefixFrom(a, int(s.Bits)).String()
}

func TestChoose(t *testing.T) {
	const none = ""
	tests := []struct {
		name                 string
		asked, from          string
		private              bool
		ipv4, ipv6           uint8
		strip, pass, add, ov string // by mode
	}{
		{name: "public client", from: "192.0.2.77", add: "192.0.2.0/24", ov: "192.0.2.0/24"},
		{name: "public IPv6 client", from: "2001:db8:1:2ff::77", add: "2001:db8:1:200::/56", ov: "2001:db8:1:200::/56"},
		{name: "client with an option", asked: "198.51.100.0/24", from: "192.0.2.77", pass: "198.51.100.0/24", add: "198.51.100.0/24", ov: "192.0.2.0/24"},
		{name: "long option is shortened", asked: "198.51.100.129/32", from: "192.0.2.77", pass: "198.51.100.0/24", add: "198.51.100.0/24", ov: "192.0.2.0/24"},
		{name: "short option stays", asked: "198.51.0.0/16", from: "192.0.2.77", pass: "198.51.0.0/16", add: "198.51.0.0/16", ov: "192.0.2.0/24"},
		{name: "option of another family", asked: "2001:db8::/40", from: "192.0.2.77", pass: "2001:db8::/40", add: "2001:db8::/40", ov: "192.0.2.0/24"},
		{name: "opted out", asked: "0.0.0.0/0", from: "192.0.2.77", pass: "0.0.0.0/0", add: "0.0.0.0/0", ov: "0.0.0.0/0"},
		{name: "opted out of IPv6", asked: "::/0", from: "192.0.2.77", pass: "0.0.0.0/0", add: "0.0.0.0/0", ov: "0.0.0.0/0"},
		{name: "loopback client", from: "127.0.0.1"},
		{name: "RFC 1918 client", from: "10.1.2.3"},
		{name: "shared address", from: "100.64.0.1"},
		{name: "link-local client", from: "fe80::1"},
		{name: "unique local client", from: "fd00::1"},
		{name: "loopback client, told", from: "127.0.0.1", private: true, add: "127.0.0.0/24", ov: "127.0.0.0/24"},
		{name: "private option", asked: "10.1.2.0/24", from: "10.1.2.3", pass: "10.1.2.0/24", add: "10.1.2.0/24"},
		{name: "no bits of IPv4", from: "192.0.2.77", ipv6: 56},
		{name: "other lengths", from: "192.0.2.77", ipv4: 20, add: "192.0.0.0/20", ov: "192.0.0.0/20"},
		{name: "the whole IPv4 address", from: "192.0.2.77", ipv4: 32, add: "192.0.2.77/32", ov: "192.0.2.77/32"},
	}
	for _, tt := range tests {
		if tt.ipv4 == 0 && tt.ipv6 == 0 {
			tt.ipv4, tt.ipv6 = 24, 56
		}
		for mode, want := range []string{Strip: tt.strip, Pass: tt.pass, Add: tt.add, Override: tt.ov} {
			s := Spec{Mode: Mode(mode), IPv4: tt.ipv4, IPv6: tt.ipv6, Private: tt.private}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			var asked *wire.Subnet
			if tt.asked != none {
				asked = option(tt.asked)
			}
			told, tell := s.Choose(asked, netip.MustParseAddr(tt.from))
			got := none
			if tell {
				got = text(told)
			}
			if got != want {
				t.Errorf("%s, %s: %q, want %q", tt.name, ModeNames[mode], got, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, s := range []Spec{{Mode: Override + 1}, {IPv4: 33}, {IPv6: 65}} {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
}
