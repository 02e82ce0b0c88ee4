package ring

import (
	"encoding/binary"
	"net/netip"
)

// Sizes and families of the two socket addresses a Path can hold (struct sockaddr_in, struct sockaddr_in6).
const (
	nameBytes4 = 16
	nameBytes6 = 28
	familyInet = 2
	familyIn6  = 10

	mappedPrefix = 0x0000ffff // the last 4 of the 12 bytes before an IPv4-mapped address (RFC 4291 §2.5.5.2)
)

// Path says where a datagram came from, so where its reply goes, and from which local address that reply leaves.
// It is a plain value without pointers: copy it to keep it. The zero value names nobody.
type Path struct {
	Name     [nameBytes6]byte // struct sockaddr_in or sockaddr_in6 as the kernel gave it
	NameLen  uint8            // 0, 16 or 28
	HasLocal bool             // Local is known; only on sockets with pktinfo
	Local    [16]byte         // local address, IPv4 in mapped form
	Ifindex  uint32           // nonzero only for a link-local Local
}

// Addr returns the remote address and port. IPv4-mapped addresses are unmapped; a scope stays behind in Name.
// A path that holds no address gives the zero AddrPort.
func (p *Path) Addr() netip.AddrPort {
	switch p.NameLen {
	case nameBytes4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(p.Name[4:8])), binary.BigEndian.Uint16(p.Name[2:]))
	case nameBytes6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p.Name[8:24])).Unmap(), binary.BigEndian.Uint16(p.Name[2:]))
	}
	return netip.AddrPort{}
}

// IP returns the bytes of the remote address, 4 or 16: a view of p. An IPv4-mapped one has 4; a path that holds no address none.
func (p *Path) IP() []byte {
	switch p.NameLen {
	case nameBytes4:
		return p.Name[4:8]
	case nameBytes6:
		if binary.BigEndian.Uint64(p.Name[8:]) == 0 && binary.BigEndian.Uint32(p.Name[16:]) == mappedPrefix {
			return p.Name[20:24]
		}
		return p.Name[8:24]
	}
	return nil
}

// SetAddr makes a the remote address and forgets any local one. IPv4 is stored as sockaddr_in, which a dual-stack
// socket accepts as well. Zones are not kept.
func (p *Path) SetAddr(a netip.AddrPort) {
	*p = Path{}
	addr := a.Addr().Unmap()
	switch {
	case addr.Is4():
		binary.NativeEndian.PutUint16(p.Name[0:], familyInet)
		ip := addr.As4()
		copy(p.Name[4:8], ip[:])
		p.NameLen = nameBytes4
	case addr.Is6():
		binary.NativeEndian.PutUint16(p.Name[0:], familyIn6)
		ip := addr.As16()
		copy(p.Name[8:24], ip[:])
		p.NameLen = nameBytes6
	default:
		return
	}
	binary.BigEndian.PutUint16(p.Name[2:], a.Port())
}
