package wire

import "encoding/binary"

// nameLayout says where in a type's RDATA names are: after skip bytes, one after the other; then tail bytes end the RDATA exactly, or
// anything may follow if tail is anyTail. names 0 is a type without names.
type nameLayout struct{ skip, names, tail int8 }

const anyTail = -1

// nameLayouts covers the types of RFC 1035, those whose names RFC 3597 §4 asks receivers to decompress, and later ones that common
// encoders enter into their compression tables though they do not compress them: other names may point there. NAPTR is apart (naptrSkip).
var nameLayouts = [...]nameLayout{
	2:         {0, 1, 0},        // NS
	3:         {0, 1, 0},        // MD
	4:         {0, 1, 0},        // MF
	5:         {0, 1, 0},        // CNAME
	6:         {0, 2, 20},       // SOA
	7:         {0, 1, 0},        // MB
	8:         {0, 1, 0},        // MG
	9:         {0, 1, 0},        // MR
	12:        {0, 1, 0},        // PTR
	14:        {0, 2, 0},        // MINFO
	15:        {2, 1, 0},        // MX
	17:        {0, 2, 0},        // RP
	18:        {2, 1, 0},        // AFSDB
	21:        {2, 1, 0},        // RT
	23:        {0, 1, 0},        // NSAP-PTR
	24:        {18, 1, anyTail}, // SIG
	26:        {2, 2, 0},        // PX
	30:        {0, 1, anyTail},  // NXT
	33:        {6, 1, 0},        // SRV
	typeNAPTR: {0, 1, 0},
	36:        {2, 1, 0},        // KX
	39:        {0, 1, 0},        // DNAME
	46:        {18, 1, anyTail}, // RRSIG
	47:        {0, 1, anyTail},  // NSEC
	58:        {0, 2, 0},        // TALINK
	64:        {2, 1, anyTail},  // SVCB
	65:        {2, 1, anyTail},  // HTTPS
	107:       {2, 1, 0},        // LP
}

const typeNAPTR = 35

// rdata checks the names in the RDATA [off, end) of a record of this type, remembers them as targets for pointers, and says whether all
// is well.
func (r *response) rdata(rrtype uint16, off, end int) bool {
	if int(rrtype) >= len(nameLayouts) || nameLayouts[rrtype].names == 0 {
		return true
	}
	layout := nameLayouts[rrtype]
	off += int(layout.skip)
	if rrtype == typeNAPTR {
		off = naptrSkip(r.msg[:end], off)
	}
	for range layout.names {
		if off >= end {
			return false
		}
		if off = r.name(off); off < 0 || off > end {
			return false
		}
	}
	return layout.tail == anyTail || off+int(layout.tail) == end
}

// naptrSkip returns the offset of the name in NAPTR RDATA: after order, preference and three character strings (RFC 3403 §4.1). It may
// lie beyond msg.
func naptrSkip(msg []byte, off int) int {
	off += 4
	for range 3 {
		if off >= len(msg) {
			return len(msg)
		}
		off += 1 + int(msg[off])
	}
	return off
}

// name reads the name at off, remembers where its labels start, and returns the offset after it, or -1. A pointer must name a place that
// was remembered, whose expanded length is known: so it cannot loop and is not followed, and the cost is the name's own bytes. A pointer
// beyond an OPT that will be removed is corrected at once.
func (r *response) name(off int) int {
	msg, last := r.msg, off
	for last < len(msg) {
		c := int(msg[last])
		switch {
		case c == 0:
			if last-off >= NameBytesMax {
				return -1
			}
			r.remember(off, last, last-off+1, 0)
			return last + 1
		case c <= labelBytesMax:
			last += 1 + c
		case c < 0xC0 || last+1 >= len(msg):
			return -1
		default:
			target := c&0x3F<<8 | int(msg[last+1])
			if target >= off {
				return -1
			}
			earlier := r.scratch.names[target]
			length := last - off + int(earlier&0xFF)
			hops := earlier>>8 + 1
			if earlier == 0 || length > NameBytesMax || hops > pointerHopsMax {
				return -1
			}
			if r.optSeen && target >= r.optEnd {
				binary.BigEndian.PutUint16(msg[last:], uint16(0xC000|(target-r.removed())))
			}
			r.remember(off, last, length, hops)
			return last + 2
		}
	}
	return -1
}

// remember enters the labels of the name at off as targets for pointers. last is the offset of its root byte or pointer, length its
// expanded length.
func (r *response) remember(off, last, length int, hops uint16) {
	for off < pointerReach {
		r.scratch.names[off] = hops<<8 | uint16(length)
		if off == last {
			return
		}
		n := 1 + int(r.msg[off])
		off += n
		length -= n
	}
}
