package wire

import "encoding/binary"

// Query is a view of a client's query. After a fault it holds what came before the fault, enough to build the error answer: ID and
// Flags from 12 bytes on; Question (nil until then) and what follows it once the question was read; HasOPT once the OPT was. After FaultOpcode
// that holds for NOTIFY and UPDATE.
type Query struct {
	ID, Flags   uint16 // header bytes 0-1 and 2-3
	Question    []byte // view: qname, type and class in the client's own case
	NameLen     int    // bytes of the qname in Question, 1..255
	Type, Class uint16
	HasOPT, DO  bool
	NoQuestion  bool   // FaultCount because there is none at all, and what follows could be read: see RFC 7873 §5.4
	Version     uint8  // EDNS version
	UDPSize     uint16 // as sent, 0 without OPT; see ReplyLimit
	Options     []byte // view: RDATA of the OPT, whole options
	Additionals uint16 // records in the additional section, the OPT included
}

// ParseQuery reads the query in msg, which is a whole message without stream length. The views in q live as long as msg.
//
// Faults: FaultShort, FaultResponse, FaultOpcode, FaultCount, FaultName, FaultRecord, FaultOPT, FaultSigned, FaultVersion, FaultType, in
// this order of detection; an IXFR, which has a record in its authority section, is no FaultCount. It never allocates.
func ParseQuery(msg []byte, q *Query) Fault {
	*q = Query{}
	if len(msg) < HeaderBytes {
		return FaultShort
	}
	q.ID = binary.BigEndian.Uint16(msg)
	q.Flags = binary.BigEndian.Uint16(msg[2:])
	if q.Flags&FlagQR != 0 {
		return FaultResponse
	}
	if q.Flags&OpcodeMask != 0 {
		q.glance(msg)
		return FaultOpcode
	}
	// QDCOUNT 1, ANCOUNT 0, NSCOUNT 0 in one look.
	counts := binary.BigEndian.Uint64(msg[4:])
	if counts>>16 != 1<<32 {
		if counts>>16 == 1<<32|1 { // a record in the authority section: RFC 1995 §3
			if fault := q.incremental(msg); fault != FaultNone {
				return fault
			}
		}
		q.salvage(msg, counts)
		return FaultCount
	}
	end := plainNameEnd(msg, HeaderBytes)
	if end < 0 || end+4 > len(msg) {
		return FaultName
	}
	q.NameLen = end - HeaderBytes
	q.Question = msg[HeaderBytes : end+4]
	q.Type = binary.BigEndian.Uint16(msg[end:])
	q.Class = binary.BigEndian.Uint16(msg[end+2:])
	q.Additionals = uint16(counts)
	if fault := q.parseAdditional(msg, end+4, int(counts&0xFFFF)); fault != FaultNone {
		return fault
	}
	if q.Version > 0 {
		return FaultVersion
	}
	switch q.Type {
	case TypeOPT, TypeTKEY, TypeTSIG, TypeIXFR, TypeAXFR:
		return FaultType
	}
	return FaultNone
}

// Opcodes, as they stand in a header.
const (
	OpcodeNotify = 4 << 11 // RFC 1996
	OpcodeUpdate = 5 << 11 // RFC 2136
	OpcodeDSO    = 6 << 11 // RFC 8490
)

// glance reads question and OPT of a NOTIFY (RFC 1996 §3.7) or an UPDATE (RFC 2136 §2), so that the answer can have them too, as far as they
// are readable; what other opcodes carry is not known.
func (q *Query) glance(msg []byte) {
	if opcode := q.Flags & OpcodeMask; opcode == OpcodeNotify || opcode == OpcodeUpdate {
		_ = q.readAll(msg)
	}
}

// incremental reads a query with a record in its authority section, as an IXFR has one. FaultNone: it is something else, and nothing of it is in q.
func (q *Query) incremental(msg []byte) Fault {
	fault := q.readAll(msg)
	switch {
	case q.Type != TypeIXFR:
		*q = Query{ID: q.ID, Flags: q.Flags}
		return FaultNone
	case fault != FaultNone:
		return fault
	case q.Version > 0:
		return FaultVersion
	}
	return FaultType
}

// readAll reads the only question and the OPT of a message that may have records in all sections, as far as they are readable.
func (q *Query) readAll(msg []byte) Fault {
	if binary.BigEndian.Uint16(msg[4:]) != 1 {
		return FaultCount
	}
	end := plainNameEnd(msg, HeaderBytes)
	if end < 0 || end+4 > len(msg) {
		return FaultName
	}
	q.NameLen = end - HeaderBytes
	q.Question = msg[HeaderBytes : end+4]
	q.Type = binary.BigEndian.Uint16(msg[end:])
	q.Class = binary.BigEndian.Uint16(msg[end+2:])
	off := end + 4
	for range int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) {
		if off = skipName(msg, off); off < 0 || off+10 > len(msg) {
			return FaultRecord
		}
		if off += 10 + int(binary.BigEndian.Uint16(msg[off+8:])); off > len(msg) {
			return FaultRecord
		}
	}
	return q.parseAdditional(msg, off, int(binary.BigEndian.Uint16(msg[10:])))
}

// salvage looks for an OPT in a query with another number of questions than one: the error answer must have one then (RFC 6891 §6.1.1), and a
// query without a question may ask for a cookie.
func (q *Query) salvage(msg []byte, counts uint64) {
	if counts>>16&0xFFFFFFFF != 0 { // answers or authority
		return
	}
	off := HeaderBytes
	for range counts >> 48 {
		if off = skipName(msg, off); off < 0 || off+4 > len(msg) {
			return
		}
		off += 4
	}
	fault := q.parseAdditional(msg, off, int(counts&0xFFFF))
	q.NoQuestion = counts>>48 == 0 && fault == FaultNone
}

// parseAdditional walks count records from off. Only the OPT is of interest; the others must merely fit.
func (q *Query) parseAdditional(msg []byte, off, count int) Fault {
	for range count {
		end := skipName(msg, off)
		if end < 0 || end+10 > len(msg) {
			return FaultRecord
		}
		next := end + 10 + int(binary.BigEndian.Uint16(msg[end+8:]))
		if next > len(msg) {
			return FaultRecord
		}
		switch binary.BigEndian.Uint16(msg[end:]) {
		case TypeOPT:
			if q.HasOPT || end != off+1 || !wholeOptions(msg[end+10:next]) {
				return FaultOPT
			}
			q.HasOPT = true
			q.UDPSize = binary.BigEndian.Uint16(msg[end+2:])
			q.Version = msg[end+5]
			q.DO = msg[end+6]&(optDO>>8) != 0
			q.Options = msg[end+10 : next]
		case TypeTSIG:
			return FaultSigned
		}
		off = next
	}
	return FaultNone
}

// skipName returns the offset after the name at off, or -1. A pointer must name an earlier place after the header; it is not followed,
// because nothing of a query's additional names is used or sent on.
func skipName(msg []byte, off int) int {
	for end := off; end < len(msg); {
		c := int(msg[end])
		switch {
		case c == 0:
			return end + 1
		case c <= labelBytesMax:
			end += 1 + c
			if end-off >= NameBytesMax {
				return -1
			}
		case c >= 0xC0 && end+1 < len(msg):
			target := c&0x3F<<8 | int(msg[end+1])
			if target < HeaderBytes || target >= off {
				return -1
			}
			return end + 2
		default:
			return -1
		}
	}
	return -1
}

// wholeOptions says whether data is a sequence of whole EDNS options: code, length, value (RFC 6891 §6.1.2).
func wholeOptions(data []byte) bool {
	for len(data) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(data[2:]))
		if n > len(data) {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// ReplyLimit is the size of the biggest UDP reply to this client, given our own maximum: 512 without OPT (RFC 1035 §4.2.1), else what it
// announced, at least 512 (RFC 6891 §6.2.3) and at most udpSizeMax.
func (q *Query) ReplyLimit(udpSizeMax uint16) int {
	return max(ReplyBytesMin, int(min(q.UDPSize, udpSizeMax)))
}

// Client is what a reply of at most limit bytes needs to know about the sender of q. Question stays a view of the query.
func (q *Query) Client(limit int) Client {
	return Client{ID: q.ID, Flags: q.Flags, Question: q.Question, HasOPT: q.HasOPT, DO: q.DO, Limit: limit}
}

// wholeWithin returns the first of options, which are whole, that take at most limit bytes together.
func wholeWithin(options []byte, limit int) []byte {
	end := 0
	for end < len(options) {
		next := end + optionHeaderBytes + int(binary.BigEndian.Uint16(options[end+2:]))
		if next > limit {
			break
		}
		end = next
	}
	return options[:end]
}
