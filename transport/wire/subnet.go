package wire

import "encoding/binary"

// Families of addresses in an ECS option (RFC 7871 §6).
const (
	FamilyIPv4 = 1
	FamilyIPv6 = 2
)

// Subnet is what an ECS option of a query says: a network that a client is in. Bits of Addr beyond Bits are zero.
type Subnet struct {
	Family uint8    // FamilyIPv4 or FamilyIPv6; 0 may stand with Bits 0, for it names no address
	Bits   uint8    // SOURCE PREFIX-LENGTH; 0: the client wants no address told (RFC 7871 §7.1.2)
	Addr   [16]byte // IPv4 in the first four
}

// ScopeUnknown is longer than any scope: the answer is good for whom it was asked for, and nobody knows for whom else.
const ScopeUnknown = 255

// FamilyBits is the length of a family's addresses.
func FamilyBits(family uint8) uint8 {
	switch family {
	case FamilyIPv4:
		return 32
	case FamilyIPv6:
		return 128
	}
	return 0
}

// addressBytes is how many bytes of an address hold so many bits.
func addressBytes(bits uint8) int { return (int(bits) + 7) / 8 }

// Shorten makes s at most bits long.
func (s *Subnet) Shorten(bits uint8) {
	if bits >= s.Bits {
		return
	}
	s.Bits = bits
	whole := int(bits) / 8
	if rest := bits % 8; rest != 0 {
		s.Addr[whole] &= 0xFF << (8 - rest)
		whole++
	}
	clear(s.Addr[whole:])
}

// ParseSubnet returns the ECS option of a query, given all its options, which are whole. sound is false for what is to be answered
// FORMERR: a family that is not known (RFC 7871 §7.2.1), an address that is too short or too long or has bits beyond the prefix (§6), a scope that
// is not 0 (§6), or two such options, which contradict each other.
func ParseSubnet(options []byte) (s Subnet, found, sound bool) {
	for len(options) >= optionHeaderBytes {
		n := optionHeaderBytes + int(binary.BigEndian.Uint16(options[2:]))
		if binary.BigEndian.Uint16(options) == optionSubnet {
			var scope uint8
			if found {
				return Subnet{}, true, false
			}
			found = true
			if s, scope, sound = subnetOption(options[optionHeaderBytes:n]); !sound || scope != 0 {
				return Subnet{}, true, false
			}
		}
		options = options[n:]
	}
	return s, found, true
}

// subnetOption reads the value of an ECS option.
func subnetOption(value []byte) (s Subnet, scope uint8, sound bool) {
	if len(value) < subnetFixedBytes {
		return Subnet{}, 0, false
	}
	family, address := binary.BigEndian.Uint16(value), value[subnetFixedBytes:]
	s.Bits, scope = value[2], value[3]
	if family > FamilyIPv6 || s.Bits > FamilyBits(uint8(family)) || scope > 128 || len(address) != addressBytes(s.Bits) {
		return Subnet{}, 0, false
	}
	s.Family = uint8(family)
	copy(s.Addr[:], address)
	if rest := s.Bits % 8; rest != 0 && address[len(address)-1]<<rest != 0 {
		return Subnet{}, 0, false
	}
	return s, scope, true
}

// AppendSubnetOption appends the whole ECS option of s, at most SubnetOptionBytesMax bytes. scope is 0 in a query; in a reply it says for how
// much of the address it holds.
func AppendSubnetOption(dst []byte, s *Subnet, scope uint8) []byte {
	n := addressBytes(s.Bits)
	dst = binary.BigEndian.AppendUint16(dst, optionSubnet)
	dst = binary.BigEndian.AppendUint16(dst, uint16(subnetFixedBytes+n))
	dst = append(dst, 0, s.Family, s.Bits, scope)
	return append(dst, s.Addr[:n]...)
}

// echoes says whether a response to a query with s in it may carry value in its ECS option, and the scope. What names no address need
// not be repeated (RFC 7871 §7.3: "the non-zero fields").
func (s *Subnet) echoes(value []byte) (scope uint8, ok bool) {
	got, scope, sound := subnetOption(value)
	if s.Bits == 0 {
		return 0, sound
	}
	return scope, sound && got == *s && scope <= FamilyBits(s.Family)
}
