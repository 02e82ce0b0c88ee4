package wire

import (
	"bytes"
	"encoding/binary"
	"math"
)

// ResponseScratch is the working memory of ParseResponse: 45 KiB, reused from call to call by one thread. The zero value is ready.
type ResponseScratch struct {
	ttls [recordsMax]uint16
	// names says for each offset of the message whether a name, or the rest of one, starts there: its length on the wire when expanded
	// (1..255) in the low byte and the pointers passed on the way in the high byte; 0 = no name starts here.
	names [pointerReach]uint16

	told    Told
	options [responseOptionsMax]byte // of an OPT that other records follow
}

// response is the state of one walk over the records of a message.
type response struct {
	msg     []byte
	scratch *ResponseScratch
	base    int // offset of the first record
	off     int // offset of the next record
	ttls    int // offsets collected
	ttlMin  uint32

	qtype, class uint16
	matched      bool   // an answer record of the asked type was seen
	soa          bool   // an SOA was seen in the authority section
	soaTTL       uint32 // RFC 2308 §5: the lesser of its TTL and its MINIMUM

	key              []byte
	options          []byte // view of msg: the OPT's RDATA
	scope            uint8
	extended         uint16
	optSeen          bool
	optStart, optEnd int
	rcodeHigh        uint16
}

// ParseResponse reads the upstream response in msg to the question of key and fills a. The slices of a point into msg and scratch and
// are valid until either is used again. msg is modified: TTLs of 2^31 and more become ttlMax, and if the OPT is not the last
// record the later ones move down with their compression pointers corrected. After a fault msg is garbage.
//
// With 12 bytes or more a.Flags and a.RCode (without its extended part) hold even after a fault.
//
// Names are checked where they matter: owners, and the RDATA of types that RFC 3597 §4 lets use or receive compression. Other RDATA is
// opaque, and nothing may point into it.
//
// a.TTL is the least TTL of all records; for a negative answer also that of RFC 2308 §5. It is 0 for TC=1, for an rcode other than
// NOERROR and NXDOMAIN, and for a negative answer without SOA.
//
// Faults: FaultShort, FaultQuery, FaultOpcode, FaultCount, FaultQuestion, FaultRecord, FaultOPT, FaultSubnet (an ECS option that does not
// repeat the one of key: RFC 7871 §7.3, §11.2), FaultSigned (we never sign, so nobody may sign to us). It never allocates.
func ParseResponse(msg []byte, key []byte, a *Answer, scratch *ResponseScratch) Fault {
	*a = Answer{}
	if len(msg) < HeaderBytes {
		return FaultShort
	}
	if len(msg) > MessageBytesMax {
		return FaultRecord
	}
	a.Flags = binary.BigEndian.Uint16(msg[2:])
	a.RCode = a.Flags & RCodeMask
	switch {
	case a.Flags&FlagQR == 0:
		return FaultQuery
	case a.Flags&OpcodeMask != 0:
		return FaultOpcode
	case binary.BigEndian.Uint16(msg[4:]) != 1:
		return FaultCount
	}
	question := KeyQuestion(key)
	if !sameQuestion(msg[HeaderBytes:], question) {
		return FaultQuestion
	}
	r := response{msg: msg, key: key, scratch: scratch, base: HeaderBytes + len(question), ttlMin: math.MaxUint32, soaTTL: math.MaxUint32}
	r.off = r.base
	r.qtype = binary.BigEndian.Uint16(question[len(question)-4:])
	r.class = binary.BigEndian.Uint16(question[len(question)-2:])
	clear(scratch.names[:min(len(msg), pointerReach)])
	r.remember(HeaderBytes, r.base-5, len(question)-4, 0)

	a.AN = binary.BigEndian.Uint16(msg[6:])
	a.NS = binary.BigEndian.Uint16(msg[8:])
	a.AR = binary.BigEndian.Uint16(msg[10:])
	for s, count := range [...]uint16{a.AN, a.NS, a.AR} {
		for range count {
			if fault := r.record(section(s)); fault != FaultNone {
				return fault
			}
		}
	}
	if r.optSeen {
		a.AR--
		a.RCode |= r.rcodeHigh
		a.Extended = r.extended
	}
	a.Records = r.withoutOPT()
	scratch.told = Told{Options: r.options, Scope: r.scope}
	a.Told = &scratch.told
	a.TTLs = scratch.ttls[:r.ttls]
	r.judge(a)
	return FaultNone
}

type section uint8

const (
	sectionAnswer section = iota
	sectionAuthority
	sectionAdditional
)

// sameQuestion says whether data starts with question, which is folded, apart from the case of the name.
func sameQuestion(data, question []byte) bool {
	n := len(question)
	return len(data) >= n && equalFold(data[:n-4], question[:n-4]) && bytes.Equal(data[n-4:n], question[n-4:])
}

// record reads the record at r.off and moves on to the next.
func (r *response) record(in section) Fault {
	start, msg := r.off, r.msg
	end := r.name(start)
	if end < 0 || end+10 > len(msg) {
		return FaultRecord
	}
	rrtype := binary.BigEndian.Uint16(msg[end:])
	data := end + 10
	next := data + int(binary.BigEndian.Uint16(msg[end+8:]))
	if next > len(msg) {
		return FaultRecord
	}
	r.off = next
	switch rrtype {
	case TypeOPT:
		return r.opt(in, start, data)
	case TypeTSIG:
		return FaultSigned
	}
	if !r.rdata(rrtype, data, next) {
		return FaultRecord
	}
	ttl := binary.BigEndian.Uint32(msg[end+4:])
	if ttl > ttlMax {
		ttl = ttlMax
		binary.BigEndian.PutUint32(msg[end+4:], ttl)
	}
	r.ttlMin = min(r.ttlMin, ttl)
	r.scratch.ttls[r.ttls] = uint16(end + 4 - r.base - r.removed())
	r.ttls++
	switch {
	case in == sectionAnswer:
		class := binary.BigEndian.Uint16(msg[end+2:])
		r.matched = r.matched || r.matches(rrtype, class)
	case in == sectionAuthority && rrtype == TypeSOA:
		r.soa = true
		r.soaTTL = min(r.soaTTL, ttl, binary.BigEndian.Uint32(msg[next-4:]))
	}
	return FaultNone
}

// matches says whether an answer record of this type and class is what was asked for. ANY, MAILA and MAILB ask for more than one type.
func (r *response) matches(rrtype, class uint16) bool {
	return class == r.class && rrtype == r.qtype || r.qtype >= TypeMAILB && r.qtype <= TypeANY
}

// opt takes in the OPT record that starts at start and whose RDATA is [data, r.off).
func (r *response) opt(in section, start, data int) Fault {
	if in != sectionAdditional || r.optSeen || data != start+1+10 || !wholeOptions(r.msg[data:r.off]) {
		return FaultOPT
	}
	r.optSeen = true
	r.optStart, r.optEnd = start, r.off
	r.rcodeHigh = uint16(r.msg[start+5]) << 4
	if start < pointerReach {
		r.scratch.names[start] = 0 // its root owner goes away: nothing may point to it
	}
	r.options = r.msg[data:r.off]
	return r.readOptions()
}

// readOptions takes in what the options say. An ECS option that was not asked for is ignored.
func (r *response) readOptions() Fault {
	for rest := r.options; len(rest) > 0; {
		n := optionHeaderBytes + int(binary.BigEndian.Uint16(rest[2:]))
		value := rest[optionHeaderBytes:n]
		switch binary.BigEndian.Uint16(rest) {
		case optionSubnet:
			if sent, ok := KeySubnet(r.key); ok {
				if r.scope, ok = sent.echoes(value); !ok {
					return FaultSubnet
				}
			}
		case OptionEDE:
			if r.extended == 0 && len(value) >= 2 {
				r.extended = binary.BigEndian.Uint16(value)
			}
			if r.extended >= edePrivate {
				r.extended = 0
			}
		}
		rest = rest[n:]
	}
	return FaultNone
}

// removed is how many bytes the records after the current offset will move down by.
func (r *response) removed() int { return r.optEnd - r.optStart }

// withoutOPT closes the gap the OPT leaves, if any, and returns all records.
func (r *response) withoutOPT() []byte {
	if r.optSeen && r.off > r.optEnd { // they are about to be overwritten
		r.options = r.scratch.options[:copy(r.scratch.options[:], wholeWithin(r.options, responseOptionsMax))]
	}
	copy(r.msg[r.optStart:], r.msg[r.optEnd:r.off])
	return r.msg[r.base : r.off-r.removed()]
}

// judge decides how long the answer may be kept.
func (r *response) judge(a *Answer) {
	if a.RCode != RCodeNoError && a.RCode != RCodeNXDomain {
		return
	}
	a.Negative = a.RCode == RCodeNXDomain || !r.matched
	switch {
	case a.Flags&FlagTC != 0:
	case !a.Negative:
		a.TTL = r.ttlMin
	case r.soa:
		a.TTL = min(r.ttlMin, r.soaTTL)
	}
}
