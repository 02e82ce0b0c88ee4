package wire

import "encoding/binary"

// AliasBytes is what a CNAME takes before the records of the name that it leads to, beside that name.
const AliasBytes = 2 + 10

// AliasAnswer makes out the answer to a question for another name, whose CNAME leads to the name that a answers: the CNAME, then the records of a with
// their compression pointers corrected. question is that of a (KeyQuestion), own how many bytes the name has that was asked for. ttl is the
// CNAME's; age is added to it, as it will be taken off all records again. dst holds the result's records.
//
// It returns false where the result does not fit into dst or a message, or where compression could not reach that far, and for an answer that
// ParseResponse would have refused.
func AliasAnswer(dst []byte, ttls []uint16, a *Answer, question []byte, own int, ttl, age uint32, out *Answer) bool {
	target := question[:len(question)-4]
	head := AliasBytes + len(target)
	if head+len(a.Records) > len(dst) || HeaderBytes+own+4+head+len(a.Records) > MessageBytesMax || len(a.TTLs) >= len(ttls) {
		return false
	}
	copy(dst, []byte{0xC0, HeaderBytes, 0, TypeCNAME, 0, ClassINET})
	binary.BigEndian.PutUint32(dst[6:], ttl+age)
	binary.BigEndian.PutUint16(dst[10:], uint16(len(target)))
	copy(dst[AliasBytes:], target)
	copy(dst[head:], a.Records)
	move := pointerMove{
		end: HeaderBytes + len(target), name: own + 4 + AliasBytes, // the target now stands in the CNAME
		records: own + head - len(target),
	}
	*out = *a
	out.Records, out.TTLs = dst[:head+len(a.Records)], ttls[:len(a.TTLs)+1]
	out.TTLs[0] = 6
	for n := range a.Len() {
		out.TTLs[n+1] = a.TTLs[n] + uint16(head)
		if !move.record(out.Records[head:], a.Record(n)) {
			return false
		}
	}
	out.AN++
	out.Flags &^= FlagAA | FlagAD
	return true
}

// pointerMove says how compression pointers change: those before end, into the name of the question, by name, others by records.
type pointerMove struct{ end, name, records int }

// record corrects the names of one record: its owner, and those in RDATA that may be compressed.
func (m *pointerMove) record(records []byte, r Record) bool {
	if m.at(records, r.Owner) < 0 {
		return false
	}
	if int(r.Type) >= len(nameLayouts) || nameLayouts[r.Type].names == 0 {
		return true
	}
	layout := nameLayouts[r.Type]
	off := r.Data + int(layout.skip)
	if r.Type == typeNAPTR {
		off = naptrSkip(records[:r.End], off)
	}
	for range layout.names {
		if off >= r.End {
			return false
		}
		if off = m.at(records, off); off < 0 {
			return false
		}
	}
	return true
}

// at corrects the name at off and returns the offset after it, or -1.
func (m *pointerMove) at(records []byte, off int) int {
	for off < len(records) {
		c := int(records[off])
		switch {
		case c == 0:
			return off + 1
		case c <= labelBytesMax:
			off += 1 + c
		case c < 0xC0 || off+1 >= len(records):
			return -1
		default:
			target := c&0x3F<<8 | int(records[off+1])
			if target < m.end {
				target += m.name
			} else {
				target += m.records
			}
			if target >= pointerReach {
				return -1
			}
			binary.BigEndian.PutUint16(records[off:], uint16(0xC000|target))
			return off + 2
		}
	}
	return -1
}
