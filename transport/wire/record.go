package wire

import "encoding/binary"

// Record is where one record of an answer is: offsets into Answer.Records.
type Record struct {
	Owner, Data, End int // of the owner's name, of the RDATA, and after it
	Type             uint16
}

// Len is how many records an answer has, in all sections.
func (a *Answer) Len() int { return len(a.TTLs) }

// Record returns record n, counting from 0, of an answer that ParseResponse has made: AN in the answer section, then NS, then AR.
func (a *Answer) Record(n int) Record {
	ttl := int(a.TTLs[n])
	return Record{Owner: a.endOf(n), Data: ttl + 6, End: a.endOf(n + 1), Type: binary.BigEndian.Uint16(a.Records[ttl-4:])}
}

// AppendName appends the name at offset off of Records to dst, in lower case and without compression. question is the one that the answer
// belongs to, folded (KeyQuestion). It returns nil for what ParseResponse would have refused.
func (a *Answer) AppendName(dst, question []byte, off int) []byte {
	start := len(dst)
	name, end := a.appendName(dst, question, off)
	if end < 0 {
		return nil
	}
	lowerName(name[start:], name[start:], len(name)-start)
	return name
}

// appendName is AppendName in the case that the name has there. It also returns the offset after it; -1 if there is no name.
func (a *Answer) appendName(dst, question []byte, off int) (name []byte, end int) {
	base := HeaderBytes + len(question)
	start := len(dst)
	at := base + off
	end = -1
	for range pointerHopsMax + 1 {
		var part []byte
		switch {
		case at >= base && at-base < len(a.Records):
			part = a.Records[at-base:]
		case at >= HeaderBytes && at < base:
			part = question[at-HeaderBytes:]
		default:
			return nil, -1
		}
		n := 0
		for n < len(part) && part[n] != 0 && part[n] <= labelBytesMax {
			n += 1 + int(part[n])
		}
		if n >= len(part) || len(dst)-start+n >= NameBytesMax {
			return nil, -1
		}
		dst = append(dst, part[:n]...)
		if part[n] == 0 {
			return append(dst, 0), max(end, at+n+1-base)
		}
		if n+1 >= len(part) {
			return nil, -1
		}
		target := int(part[n]&0x3F)<<8 | int(part[n+1])
		if part[n] < 0xC0 || target >= at+n {
			return nil, -1
		}
		end = max(end, at+n+2-base)
		at = target
	}
	return nil, -1
}

// AppendData appends the RDATA of r, a record of a, to dst; names in it are written whole. It returns nil if there is no room in dst's capacity, or for
// what ParseResponse would have refused. A name that may need more than is left counts as too long. No allocation.
func (a *Answer) AppendData(dst, question []byte, r *Record) []byte {
	off, end := r.Data, r.End
	if int(r.Type) < len(nameLayouts) && nameLayouts[r.Type].names != 0 {
		layout := nameLayouts[r.Type]
		first := off + int(layout.skip)
		if r.Type == typeNAPTR {
			first = naptrSkip(a.Records[:end], first)
		}
		if first >= end || first-off > cap(dst)-len(dst) {
			return nil
		}
		dst = append(dst, a.Records[off:first]...)
		off = first
		for range layout.names {
			if NameBytesMax > cap(dst)-len(dst) || off >= end {
				return nil
			}
			if dst, off = a.appendName(dst, question, off); off < 0 || off > end {
				return nil
			}
		}
	}
	if end-off > cap(dst)-len(dst) {
		return nil
	}
	return append(dst, a.Records[off:end]...)
}
