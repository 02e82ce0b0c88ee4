package limit

import (
	"encoding/binary"
	"net/netip"

	"secure-dns-proxy/ring"
)

// Kind is what a bucket is for.
type Kind uint8

const (
	IPv4Address Kind = iota
	IPv4Network      // /24
	IPv6Address
	IPv6Link // /64
	IPv6Site // /56
	Cookie
	TCP
	Answers   // replies with the same name and type
	NXDomains // replies that names of a zone do not exist
	Errors    // replies that tell of an error
	kindCount
)

// KindCount is how many there are.
const KindCount = int(kindCount)

// String returns the value of the `limit` label in metrics.
func (k Kind) String() string {
	return [...]string{"ipv4_32", "ipv4_24", "ipv6_128", "ipv6_64", "ipv6_56", "cookie", "tcp", "answers", "nxdomains", "errors"}[k]
}

// source is an address, or the part of it that a bucket is for.
type source struct {
	high, low uint64 // IPv4: low
	v6        bool
}

func sourceOf(path *ring.Path) source {
	ip := path.IP()
	if len(ip) == 16 {
		return source{high: binary.BigEndian.Uint64(ip), low: binary.BigEndian.Uint64(ip[8:]), v6: true}
	}
	if len(ip) != 4 {
		return source{} // nobody: there is no such path
	}
	return source{low: uint64(binary.BigEndian.Uint32(ip))}
}

// masked keeps the first bits: 1 to 32, or 1 to 128 of IPv6.
func (s source) masked(bits int) source {
	switch {
	case !s.v6:
		s.low &= ^uint64(0) << (32 - bits)
	case bits <= 64:
		s.high &= ^uint64(0) << (64 - bits)
		s.low = 0
	default:
		s.low &= ^uint64(0) << (128 - bits)
	}
	return s
}

// prefix is the source in words.
func (s source) prefix(bits int) netip.Prefix {
	if !s.v6 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(s.low))
		return netip.PrefixFrom(netip.AddrFrom4(b), bits).Masked()
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.high)
	binary.BigEndian.PutUint64(b[8:], s.low)
	return netip.PrefixFrom(netip.AddrFrom16(b), bits).Masked()
}

// step is a bucket of a source.
type step struct {
	kind Kind
	bits int
}

// The ladders of queries over UDP, the finest first, so that a source that is over its own limit is named itself.
var (
	ladder4 = [...]step{{IPv4Address, 32}, {IPv4Network, 24}}
	ladder6 = [...]step{{IPv6Address, 128}, {IPv6Link, 64}, {IPv6Site, 56}}
)

// stepsMax is the longest ladder.
const stepsMax = len(ladder6)

// whole is what one client may have as many addresses of as it likes: an IPv4 address, or 64 bits of IPv6.
func (s source) whole() int {
	if s.v6 {
		return 64
	}
	return 32
}
