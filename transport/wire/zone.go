package wire

import "encoding/binary"

// Zone returns the part of name, the question's in wire form, that is the zone which a negative answer comes from: as long as the owner of the SOA
// record in its authority section (RFC 2308 §3). Without such a record, or one that is no ancestor of name, it is name without its first label.
//
// It allocates nothing, and looks at no more labels than a name has.
func (a *Answer) Zone(name []byte) []byte {
	for n := int(a.AN); n < int(a.AN)+int(a.NS) && n < len(a.TTLs); n++ {
		if a.typeOf(n) == TypeSOA {
			if zone := suffixOf(name, a.ownerBytes(a.endOf(n), len(name))); zone != nil {
				return zone
			}
			break
		}
	}
	if len(name) <= 1 {
		return name
	}
	return name[1+int(name[0]):]
}

// ownerBytes is the length of the name that starts at off of a.Records, where the question's name has nameBytes; 0 if it cannot be followed.
func (a *Answer) ownerBytes(off, nameBytes int) (length int) {
	for range NameBytesMax {
		if off < 0 || off >= len(a.Records) {
			return 0
		}
		c := int(a.Records[off])
		switch {
		case c == 0:
			return length + 1
		case c <= labelBytesMax:
			length += 1 + c
			off += 1 + c
		case off+1 >= len(a.Records):
			return 0
		default:
			target := int(binary.BigEndian.Uint16(a.Records[off:]))&(pointerReach-1) - HeaderBytes
			if target >= 0 && target < nameBytes {
				return length + nameBytes - target
			}
			off = target - nameBytes - 4 // behind the question
		}
	}
	return 0
}

// suffixOf is the last length bytes of a name, if a label starts there.
func suffixOf(name []byte, length int) []byte {
	for at := 0; at < len(name); at += 1 + int(name[at]) {
		if len(name)-at == length {
			return name[at:]
		}
	}
	return nil
}
