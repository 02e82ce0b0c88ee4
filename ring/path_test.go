package ring

import (
	"net/netip"
	"testing"
)

func TestPathAddr(t *testing.T) {
	cases := []struct {
		in, want string
		nameLen  uint8
	}{
		{"192.0.2.7:53", "192.0.2.7:53", 16},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535", 28},
		{"[::ffff:192.0.2.7]:53", "192.0.2.7:53", 16},
		{"[fe80::1%2]:53", "[fe80::1]:53", 28},
	}
	for _, c := range cases {
		p := Path{HasLocal: true, Ifindex: 3}
		p.SetAddr(netip.MustParseAddrPort(c.in))
		if got := p.Addr(); got != netip.MustParseAddrPort(c.want) || p.NameLen != c.nameLen || p.HasLocal || p.Ifindex != 0 {
			t.Errorf("SetAddr(%s): Addr() = %v, %+v, want %s in %d bytes", c.in, got, p, c.want, c.nameLen)
		}
		if got := p.IP(); string(got) != string(netip.MustParseAddrPort(c.want).Addr().AsSlice()) {
			t.Errorf("SetAddr(%s): IP() = %v", c.in, got)
		}
	}
	mapped := Path{NameLen: 28}
	copy(mapped.Name[8:], []byte{10: 0xff, 11: 0xff, 12: 192, 0, 2, 7})
	mapped.Name[3] = 53
	if got := mapped.Addr(); got != netip.MustParseAddrPort("192.0.2.7:53") {
		t.Errorf("mapped address = %v, want it unmapped", got)
	}
	if got := mapped.IP(); string(got) != "\xc0\x00\x02\x07" {
		t.Errorf("bytes of a mapped address = %v, want 4", got)
	}
	var p Path
	if got := p.IP(); got != nil {
		t.Errorf("bytes of no address: %v", got)
	}
	p.SetAddr(netip.AddrPort{})
	if got := p.Addr(); got.IsValid() || p != (Path{}) {
		t.Errorf("no address: %v, %+v", got, p)
	}
	addr := netip.MustParseAddrPort("[2001:db8::1]:53")
	if got := testing.AllocsPerRun(100, func() { p.SetAddr(addr); _ = p.Addr() }); got != 0 {
		t.Errorf("allocations = %v, want 0", got)
	}
}

func TestKindString(t *testing.T) {
	for k, want := range map[Kind]string{Datagram: "datagram", StreamClosed: "stream closed", 0: "kind 0", 200: "kind 200"} {
		if got := k.String(); got != want {
			t.Errorf("Kind(%d) = %q, want %q", uint8(k), got, want)
		}
	}
}
