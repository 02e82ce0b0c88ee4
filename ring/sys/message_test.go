package sys

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestLocalAddressRoundTrip(t *testing.T) {
	cases := []struct {
		name        string
		family      int
		local       string
		ifindex     uint32
		wantBytes   int
		wantIfindex uint32
	}{
		{"v4 socket", FamilyInet, "::ffff:127.0.0.5", 0, 32, 0},
		{"v6 socket", FamilyInet6, "2001:db8::1", 0, 40, 0},
		{"v6 socket, v4 address", FamilyInet6, "::ffff:192.0.2.1", 0, 40, 0},
		{"link-local", FamilyInet6, "fe80::1", 7, 40, 7},
		{"interface of a global address is not kept", FamilyInet6, "2001:db8::1", 7, 40, 0},
		{"v6 address on a v4 socket", FamilyInet, "2001:db8::1", 0, 0, 0},
	}
	for _, c := range cases {
		local := netip.MustParseAddr(c.local).As16()
		control := bytes.Repeat([]byte{0xee}, ControlBytesMax)
		n := PutLocalAddress(control, c.family, &local, c.ifindex)
		if n != c.wantBytes {
			t.Errorf("%s: %d control bytes, want %d", c.name, n, c.wantBytes)
		}
		if n == 0 {
			continue
		}
		if c.family == FamilyInet { // received, the address a reply leaves from is in the same field
			n = 32
		}
		var got [16]byte
		ifindex, ok := LocalAddress(control[:n], &got)
		if !ok || got != local || ifindex != c.wantIfindex {
			t.Errorf("%s: got %v, ifindex %d, %v, want %s, %d", c.name, netip.AddrFrom16(got), ifindex, ok, c.local, c.wantIfindex)
		}
	}
}

// FuzzLocalAddress: whatever the control bytes, no panic, no reading past them, and what is found is found again.
func FuzzLocalAddress(f *testing.F) {
	local := netip.MustParseAddr("fe80::1").As16()
	seed := make([]byte, ControlBytesMax)
	f.Add(seed[:PutLocalAddress(seed, FamilyInet6, &local, 3)])
	f.Add([]byte{16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})                        // empty message of another kind
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})                         // length below the header
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}) // length beyond the end
	f.Fuzz(func(t *testing.T, control []byte) {
		var got [16]byte
		ifindex, ok := LocalAddress(control[:len(control):len(control)], &got)
		if !ok && ifindex != 0 {
			t.Errorf("nothing found, ifindex %d", ifindex)
		}
		if !ok {
			return
		}
		again := make([]byte, ControlBytesMax)
		n := PutLocalAddress(again, FamilyInet6, &got, ifindex)
		var second [16]byte
		if i, ok := LocalAddress(again[:n], &second); !ok || second != got || i != ifindex {
			t.Errorf("found %x, %d; written and read again: %x, %d, %v", got, ifindex, second, i, ok)
		}
	})
}
