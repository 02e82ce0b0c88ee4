package admission

import (
	"encoding/binary"
	"net/netip"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Source is who datagrams come from: an IPv4 address, or the upper 64 bits of an IPv6 address, of which one client may have as many as it
// likes below them.
type Source struct {
	Bits uint64
	V6   bool
}

// mapped begins an IPv4 address that came over an IPv6 socket (RFC 4291 §2.5.5.2).
const mapped = 0x0000ffff

// SourceOf returns the source of a datagram.
func SourceOf(p *ring.Path) Source {
	if p.NameLen <= 16 {
		return Source{Bits: uint64(binary.BigEndian.Uint32(p.Name[4:]))}
	}
	if high := binary.BigEndian.Uint64(p.Name[8:]); high != 0 || binary.BigEndian.Uint32(p.Name[16:]) != mapped {
		return Source{Bits: high, V6: true}
	}
	return Source{Bits: uint64(binary.BigEndian.Uint32(p.Name[20:]))}
}

// Prefix returns the addresses of the source.
func (s Source) Prefix() netip.Prefix {
	if !s.V6 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(s.Bits))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.Bits)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// drop returns the range that refuses a share of what the source sends.
func (s Source) drop(share float64) sys.SourceDrop {
	return sys.SourceDrop{V6: s.V6, First: s.Bits, Last: s.Bits, Odds: uint32(share * (1 << 32))}
}
