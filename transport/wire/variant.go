package wire

import (
	"encoding/binary"
	"slices"
)

// A key may go on after its flags byte, and the two bytes that a partition takes (key.go), with a variant: what else makes two answers to one question different. First at most one of
//
//	1                                   no client subnet is sent, where one might have been
//	2 | family | bits | address         this client subnet is sent (RFC 7871); address: as many bytes as the bits need
//	3 | family | bits | address         the answer is good for all clients of this subnet
//
// and then at most
//
//	4 | options                         these EDNS options are sent, the client's or a rule's: whole, up to the key's end
//
// A key of an exchange has 1 or 2 and perhaps 4; a key of the cache has any of the first three, and 4 where a rule gives a query options. None: the
// answer is good for everybody.
const (
	variantUnsent  = 1
	variantSubnet  = 2
	variantScope   = 3
	variantOptions = 4
)

// AppendUnsent adds to a plain key that no client subnet is sent.
func AppendUnsent(key []byte) []byte { return append(key, variantUnsent) }

// AppendSubnet adds to a plain key the client subnet that is sent. key has room for SubnetVariantBytesMax more bytes if nothing shall be allocated;
// the same holds for AppendScope.
func AppendSubnet(key []byte, s *Subnet) []byte { return appendNetwork(key, variantSubnet, s) }

// AppendScope adds to a plain key for whom the answer is.
func AppendScope(key []byte, s *Subnet) []byte { return appendNetwork(key, variantScope, s) }

func appendNetwork(key []byte, kind byte, s *Subnet) []byte {
	key = append(key, kind, s.Family, s.Bits)
	return append(key, s.Addr[:addressBytes(s.Bits)]...)
}

// AskForScope turns a key of AppendScope, in place, into that of an exchange in which that network is sent; false if it is none.
func AskForScope(key []byte) bool {
	v := KeyVariant(key)
	if len(v) == 0 || v[0] != variantScope {
		return false
	}
	v[0] = variantSubnet
	return true
}

// AppendOptions adds to a key without options those that are sent: whole ones, 1 to PassedOptionsMax bytes in all.
func AppendOptions(key, options []byte) []byte {
	return append(append(key, variantOptions), options...)
}

// KeySubnet returns the client subnet that is sent for key; false if none is.
func KeySubnet(key []byte) (s Subnet, sent bool) {
	v := KeyVariant(key)
	if len(v) < networkFixedBytes || v[0] != variantSubnet {
		return Subnet{}, false
	}
	s.Family, s.Bits = v[1], v[2]
	copy(s.Addr[:], v[networkFixedBytes:networkEnd(v)])
	return s, true
}

// KeyNetwork returns the network in a key of AppendSubnet, for exactly which its answer is good, or of AppendScope, for all in which it is good: then
// length is how long it is, else 0.
func KeyNetwork(key []byte) (s Subnet, length uint8, ok bool) {
	if s, ok = KeySubnet(key); ok {
		return s, 0, true
	}
	v := KeyVariant(key)
	if len(v) < networkFixedBytes || v[0] != variantScope {
		return Subnet{}, 0, false
	}
	return Subnet{Family: v[1], Bits: v[2]}, v[2], true
}

// KeyOptions returns the options that are sent for key: a view, empty for most keys.
func KeyOptions(key []byte) []byte {
	v := KeyVariant(key)
	v = v[firstVariantEnd(v):]
	if len(v) > 0 && v[0] == variantOptions {
		return v[1:]
	}
	return nil
}

// KeyHasNetwork says whether the variant of key has a part about client subnets.
func KeyHasNetwork(key []byte) bool {
	v := KeyVariant(key)
	return len(v) > 0 && v[0] != variantOptions
}

// AppendCommon appends to dst key without its part about client subnets: what an answer for everybody is kept under.
func AppendCommon(dst, key []byte) []byte {
	dst = append(dst, KeyPlain(key)...)
	if options := KeyOptions(key); len(options) > 0 {
		dst = AppendOptions(dst, options)
	}
	return dst
}

// KeyWithoutSubnet writes key to dst as one of an exchange that sends no client subnet, and returns the part written.
func KeyWithoutSubnet(dst *[KeyBytesMax]byte, key []byte) []byte {
	out := AppendUnsent(append(dst[:0], KeyPlain(key)...))
	if options := KeyOptions(key); len(options) > 0 {
		out = AppendOptions(out, options)
	}
	return out
}

// ValidKey says whether key is one that this package can have made: for keys that come from outside the process.
func ValidKey(key []byte) bool {
	end := plainNameEnd(key, 0)
	if end < 0 || end+5 > len(key) || len(key) > KeyBytesMax {
		return false
	}
	v := key[end+5:]
	if len(v) > 0 && v[0] == keyPartition {
		if len(v) < 2 || v[1] == 0 {
			return false
		}
		v = v[2:]
	}
	if len(v) > 0 && v[0] == variantSubnet || len(v) > 0 && v[0] == variantScope {
		if len(v) < networkFixedBytes || v[1] > FamilyIPv6 || v[2] > FamilyBits(v[1]) || networkFixedBytes+addressBytes(v[2]) > len(v) {
			return false
		}
	}
	v = v[firstVariantEnd(v):]
	return len(v) == 0 || v[0] == variantOptions && len(v) > 1 && len(v)-1 <= PassedOptionsMax && wholeOptions(v[1:])
}

// firstVariantEnd is where the part about client subnets ends in a variant.
func firstVariantEnd(v []byte) int {
	if len(v) == 0 {
		return 0
	}
	switch v[0] {
	case variantUnsent:
		return 1
	case variantSubnet, variantScope:
		return networkEnd(v)
	}
	return 0
}

// networkEnd is where a part of kind 2 or 3 ends.
func networkEnd(v []byte) int {
	if len(v) < networkFixedBytes {
		return len(v)
	}
	return min(networkFixedBytes+min(addressBytes(v[2]), 16), len(v))
}

// networkFixedBytes: kind, family and bits.
const networkFixedBytes = 3

// SelectOptions appends to dst those of options, which are whole, whose code is in codes, in their order. nil: they would take more than
// PassedOptionsMax bytes.
func SelectOptions(dst, options []byte, codes []uint16) []byte {
	for len(options) >= optionHeaderBytes {
		n := optionHeaderBytes + int(binary.BigEndian.Uint16(options[2:]))
		code := binary.BigEndian.Uint16(options)
		for _, c := range codes {
			if c != code {
				continue
			}
			if len(dst)+n > PassedOptionsMax {
				return nil
			}
			dst = append(dst, options[:n]...)
			break
		}
		options = options[n:]
	}
	return dst
}

// DropOptions takes those with one of the codes out of options, which are whole, in place, and returns what is left.
func DropOptions(options []byte, codes []uint16) []byte {
	out := options[:0]
	for len(options) >= optionHeaderBytes {
		n := optionHeaderBytes + int(binary.BigEndian.Uint16(options[2:]))
		if !slices.Contains(codes, binary.BigEndian.Uint16(options)) {
			out = append(out, options[:n]...)
		}
		options = options[n:]
	}
	return out
}

// AppendOption appends a whole option.
func AppendOption(dst []byte, code uint16, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}
