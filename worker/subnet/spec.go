package subnet

import (
	"fmt"
	"net/netip"

	"secure-dns-proxy/transport/wire"
)

// Mode says which network upstreams are told. In all but Strip a client that opts out (SOURCE PREFIX-LENGTH 0) is not told of, and upstreams
// are asked not to tell of it either (RFC 7871 §7.1.2, §7.5).
type Mode uint8

const (
	Strip    Mode = iota // none; what clients send is ignored
	Pass                 // the client's option
	Add                  // the client's option, or else the network of its address
	Override             // the network of its address
)

// ModeNames are the names used in the configuration, by value.
var ModeNames = [...]string{"strip", "pass", "add", "override"}

// Spec is what is told of the clients of one pool. The zero value strips.
type Spec struct {
	Mode       Mode
	IPv4, IPv6 uint8 // bits of an address that are told at most
	Private    bool  // addresses that mean nothing outside are told too: private, shared, link-local and loopback ones

	// Instead are networks that are told in place of clients' addresses, whatever these are: of IPv4 clients and of IPv6 clients. Where one has no bits the
	// other one stands for both. Only with Add and Override.
	Instead [2]wire.Subnet
}

// Validate returns what is wrong.
func (s *Spec) Validate() error {
	if int(s.Mode) >= len(ModeNames) || s.IPv4 > IPv4BitsMax || s.IPv6 > IPv6BitsMax {
		return fmt.Errorf("client subnets: mode %d, %d and %d bits: want at most %d, %d and %d",
			s.Mode, s.IPv4, s.IPv6, len(ModeNames)-1, IPv4BitsMax, IPv6BitsMax)
	}
	if s.Instead != [2]wire.Subnet{} && s.Mode != Add && s.Mode != Override {
		return fmt.Errorf("client subnets: a network in place of the client's has no effect in mode %s", ModeNames[s.Mode])
	}
	return nil
}

// Choose returns the network to tell an upstream for a client at addr, and whether any is told. asked is the client's own option; nil: it
// sent none. One with 0 bits asks the upstream not to tell of anybody.
//
// An option of the client is believed: that it may send one is what Pass and Add are about. Private addresses in it go on. An address of
// its own that means nothing outside is not told unless s.Private says so, nor is an address where no bits of it may be.
func (s *Spec) Choose(asked *wire.Subnet, addr netip.Addr) (told wire.Subnet, tell bool) {
	switch {
	case s.Mode == Strip:
		return told, false
	case asked != nil && asked.Bits == 0:
		return wire.Subnet{Family: wire.FamilyIPv4}, true // one form for all: see RFC 7871 §7.1.2 on FAMILY
	case asked != nil && s.Mode != Override:
		told = *asked
	case s.Instead[0].Bits|s.Instead[1].Bits != 0:
		return *s.instead(addr), true
	case s.Mode == Pass || !s.Private && !public(addr):
		return told, false
	case addr.Is4():
		told = wire.Subnet{Family: wire.FamilyIPv4, Bits: 32}
		a := addr.As4()
		copy(told.Addr[:], a[:])
	case addr.Is6():
		told = wire.Subnet{Family: wire.FamilyIPv6, Bits: 128, Addr: addr.As16()}
	default:
		return told, false
	}
	told.Shorten(s.bits(told.Family))
	return told, told.Bits != 0
}

// instead is the network that is told of a client.
func (s *Spec) instead(addr netip.Addr) *wire.Subnet {
	v4, v6 := &s.Instead[0], &s.Instead[1]
	if v6.Bits == 0 || addr.Unmap().Is4() && v4.Bits != 0 {
		return v4
	}
	return v6
}

// bits is how much of an address of a family is told at most.
func (s *Spec) bits(family uint8) uint8 {
	if family == wire.FamilyIPv4 {
		return s.IPv4
	}
	return s.IPv6
}

// shared is RFC 6598: as private as those of RFC 1918.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// public says whether an address names somebody to the whole Internet. It must be unmapped.
func public(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !shared.Contains(addr)
}
