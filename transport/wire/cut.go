package wire

import "encoding/binary"

// cut returns how many records of each section fit into room bytes, and whether that has to be told with TC. Records are cut only where one
// RRset ends and the next begins (RFC 2181 §9), so that nobody keeps a part of one.
//
// What is left out of the additional section is not missed, nor is the authority section of a positive answer, unless the client asked for
// DNSSEC: then the proof that a name came from a wildcard is there (RFC 4035 §3.1.3.3). A negative answer needs all it has, and so does a
// referral, which counts as negative (RFC 9471 §3).
func (a *Answer) cut(room int, do bool) (kept [3]uint16, truncated bool) {
	total := [3]uint16{a.AN, a.NS, a.AR}
	if len(a.TTLs) != int(a.AN)+int(a.NS)+int(a.AR) {
		return kept, true // not made by ParseResponse
	}
	border, at := 0, 0
	for n := 1; n <= len(a.TTLs) && a.endOf(n) <= room; n++ {
		if n == int(a.AN) || n == int(a.AN)+int(a.NS) || n == len(a.TTLs) || a.borders(n) {
			border = n
		}
	}
	for s := range kept {
		kept[s] = uint16(min(border-at, int(total[s])))
		at += int(kept[s])
		if kept[s] < total[s] {
			section := section(s)
			return kept, section == sectionAnswer || a.Negative || section == sectionAuthority && do
		}
	}
	return kept, false
}

// endOf is where the n-th record of Records ends, counting from 1; 0 for n = 0. A TTL is followed by RDLENGTH and RDATA.
func (a *Answer) endOf(n int) int {
	if n == 0 {
		return 0
	}
	ttl := int(a.TTLs[n-1])
	return ttl + 6 + int(binary.BigEndian.Uint16(a.Records[ttl+4:]))
}

// borders says whether record n, counting from 0, surely begins another RRset than the one before it: it has another type, and is not the
// signature that belongs to it. Owners are not compared, as compression may write them in several ways.
func (a *Answer) borders(n int) bool {
	rrtype := a.typeOf(n)
	return rrtype != a.typeOf(n-1) && rrtype != TypeRRSIG
}

// typeOf is the type of record n, counting from 0: it stands before class and TTL.
func (a *Answer) typeOf(n int) uint16 { return binary.BigEndian.Uint16(a.Records[a.TTLs[n]-4:]) }
