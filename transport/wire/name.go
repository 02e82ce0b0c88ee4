package wire

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// upperMask marks with 0x80 every byte of x that is an upper-case ASCII letter.
func upperMask(x uint64) uint64 {
	low := x &^ highs
	return (low + (0x80-'A')*ones) &^ (low + (0x7F-'Z')*ones) &^ x & highs
}

// lowerName writes the first n bytes of name to dst with A-Z folded. Length bytes are below 'A', so labels need no attention.
// len(name) and len(dst) must be at least n.
func lowerName(dst, name []byte, n int) {
	if n < 8 {
		for i := range n {
			c := name[i]
			if c-'A' < 26 {
				c |= 0x20
			}
			dst[i] = c
		}
		return
	}
	// The last word overlaps the one before it: folding twice changes nothing.
	for i := 0; i < n; i += 8 {
		i = min(i, n-8)
		x := binary.LittleEndian.Uint64(name[i:])
		binary.LittleEndian.PutUint64(dst[i:], x|upperMask(x)>>2)
	}
}

// equalFold says whether name, folded, is lower, which is already folded.
func equalFold(name, lower []byte) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// CaseBits sets bit i of set where byte i of name is an upper-case ASCII letter, and clears the others. A client that randomises case
// (draft-vixie-dnsext-dns0x20) gets its own spelling back although the key is folded. Bytes after the first 255 are ignored.
func CaseBits(name []byte, set *[32]byte) {
	*set = [32]byte{}
	name = name[:min(len(name), NameBytesMax)]
	i := 0
	for ; i+8 <= len(name); i += 8 {
		m := upperMask(binary.LittleEndian.Uint64(name[i:]))
		set[i>>3] = byte((m >> 7) * 0x0102040810204080 >> 56) // bit 8k to bit k
	}
	for ; i < len(name); i++ {
		if name[i]-'A' < 26 {
			set[i>>3] |= 1 << (i & 7)
		}
	}
}

// ApplyCase upper-cases the letters of name that CaseBits marked. Marked bytes that are no lower-case letters are left alone.
func ApplyCase(name []byte, set *[32]byte) {
	for k, m := range set {
		for m != 0 {
			i := k<<3 + bits.TrailingZeros8(m)
			m &= m - 1
			if i < len(name) && name[i]-'a' < 26 {
				name[i] &^= 0x20
			}
		}
	}
}

// plainNameEnd returns the offset after the uncompressed name at off, or -1 if there is none: a pointer or reserved label type, over
// 255 bytes, or cut short.
func plainNameEnd(msg []byte, off int) int {
	for end := off; end < len(msg); {
		c := int(msg[end])
		end++
		if c == 0 {
			return end
		}
		end += c
		if c > labelBytesMax || end-off >= NameBytesMax {
			return -1
		}
	}
	return -1
}
