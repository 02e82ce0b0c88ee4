package rpz

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// secret keys the hashes of names: who asks cannot choose names that collide.
var secret = func() (s [2]uint64) {
	for i := range s {
		s[i] = maphash.Bytes(maphash.MakeSeed(), nil)
	}
	return s
}()

// Name is a name taken apart: where its labels start, and the hash of each of its suffixes. It is scratch of the caller's, filled by Set.
type Name struct {
	wire   []byte
	labels int // the root's not counted
	start  [labelsMax + 1]uint8
	hash   [labelsMax + 1]uint64 // of the suffix that starts there
}

// Set takes a name apart, which must stay as it is while n is used: wire form, lower case. False: it is no name.
func (n *Name) Set(wire []byte) bool {
	n.wire, n.labels = wire, 0
	if len(wire) > nameBytesMax {
		return false
	}
	for at := 0; ; n.labels++ {
		if at >= len(wire) || wire[at] > 63 {
			return false
		}
		n.start[n.labels] = uint8(at)
		if wire[at] == 0 {
			if at != len(wire)-1 {
				return false
			}
			break
		}
		at += 1 + int(wire[at])
	}
	h := secret[0]
	n.hash[n.labels] = h
	for i := n.labels - 1; i >= 0; i-- {
		h = mixLabel(h, wire[n.start[i]:n.start[i+1]])
		n.hash[i] = h
	}
	return true
}

// Wire is the name as it was Set.
func (n *Name) Wire() []byte { return n.wire }

// before reports whether n comes before o in the order of DNSSEC: RFC 4034 §6.1. Both are in lower case.
func (n *Name) before(o *Name) bool {
	for i := 1; i <= min(n.labels, o.labels); i++ {
		if c := bytes.Compare(n.label(n.labels-i), o.label(o.labels-i)); c != 0 {
			return c < 0
		}
	}
	return n.labels < o.labels
}

// suffix is the name without its first labels.
func (n *Name) suffix(first int) []byte { return n.wire[n.start[first]:] }

// mixLabel hashes one label, its length byte included, on top of what comes after it.
func mixLabel(h uint64, label []byte) uint64 {
	for len(label) >= 8 {
		h = fold(h^binary.LittleEndian.Uint64(label), secret[1])
		label = label[8:]
	}
	var rest uint64
	for i, c := range label {
		rest |= uint64(c) << (8 * i)
	}
	return fold(h^rest^uint64(len(label))<<56, secret[1]|1)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0x9E3779B97F4A7C15, b)
	return high ^ low
}

// lower copies a name to dst, in lower case. Length bytes are below 'A'.
func lower(dst, name []byte) []byte {
	for _, c := range name {
		if c-'A' < 26 {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
