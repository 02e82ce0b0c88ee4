package wire

import "encoding/binary"

// Answer is a response in the form that is cached and replied from: everything after the question, without the OPT. Compression
// pointers still refer to a message with the same question at offset 12.
type Answer struct {
	Flags      uint16   // header flags of the response; AA, TC, AD as upstream gave them
	AN, NS, AR uint16   // records per section, OPT not counted
	Records    []byte   // the bytes after the question section
	TTLs       []uint16 // offsets into Records of every 4-byte TTL field, ascending
	TTL        uint32   // seconds this may be kept, before configured clamps; 0 = do not cache
	Negative   bool     // NXDOMAIN, or NOERROR without a record of the asked type
	RCode      uint16   // extended rcode included
	Stale      uint32   // not 0: past its TTL; told with this TTL, in seconds (RFC 8767 §4)
	Extended   uint16   // extended error that clients with EDNS are told (RFC 8914); 0: none, for "Other" is never told with an answer
	Told       *Told    // beside all that; nil: nothing is known
}

// Told is what the OPT of a response says of the answer in it, or does not say.
type Told struct {
	Options []byte // RDATA of the OPT, whole options; views of the response or of the scratch that it was parsed with
	Scope   uint8  // SCOPE PREFIX-LENGTH (RFC 7871 §6) if the query had a client subnet; 0: good for everybody; ScopeUnknown
	Passed  []byte // whole options for clients with EDNS, at most PassedOptionsMax bytes; ParseResponse finds none
}

// Reason is Extended as WriteError takes it.
func (a *Answer) Reason() uint16 {
	if a.Extended == 0 {
		return EDENone
	}
	return a.Extended
}

// AppendRecord adds a record to those of an answer that is being made; the caller counts it in the section that it belongs to. owner is a name
// on the wire, or a pointer to the question's.
func (a *Answer) AppendRecord(owner []byte, rrtype, class uint16, ttl uint32, data []byte) {
	r := append(a.Records, owner...)
	r = binary.BigEndian.AppendUint16(r, rrtype)
	r = binary.BigEndian.AppendUint16(r, class)
	a.TTLs = append(a.TTLs, uint16(len(r)))
	r = binary.BigEndian.AppendUint32(r, ttl)
	r = binary.BigEndian.AppendUint16(r, uint16(len(data)))
	a.Records = append(r, data...)
}
