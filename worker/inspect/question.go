package inspect

import (
	"encoding/binary"
	"net/netip"
)

// Question is what an inspector is shown. Its views are valid during the call.
type Question struct {
	Point       Point
	Name        []byte // wire form, lower case
	Type, Class uint16
	TCP         bool       // the client's transport
	RD, CD, DO  bool       // recursion desired, checking disabled, DNSSEC records wanted
	Client      netip.Addr // of the first client that waits; invalid: it is not known, or nobody waits
	Pool        []byte     // name of the pool whose upstreams would be asked
	Tags        uint8      // bit i: the query has tag i of the configuration's list (inspect.tags)

	// At AtResponse, of the answer.
	RCode   uint16
	TTL     uint32 // seconds that it may be kept
	Cut     bool   // there are more records than are shown
	records []byte
}

// Record is one of the answer section. Its owner is not shown: it is the question's name, or where the CNAME records before it lead to.
type Record struct {
	Type uint16
	TTL  uint32 // seconds
	Data []byte // RDATA; names in it are whole
}

// Addr is the address in an A or AAAA record.
func (r *Record) Addr() (netip.Addr, bool) {
	if r.Type != 1 && r.Type != 28 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(r.Data)
}

// Answers calls yield for each record of the answer section that is shown.
func (q *Question) Answers(yield func(Record) bool) {
	for rest := q.records; len(rest) != 0; {
		end := recordHeader + int(binary.LittleEndian.Uint16(rest[2:]))
		if !yield(Record{Type: binary.LittleEndian.Uint16(rest), TTL: binary.LittleEndian.Uint32(rest[4:]), Data: rest[recordHeader:end]}) {
			return
		}
		rest = rest[end:]
	}
}

// An encoded question, what WebAssembly modules are shown too; integers are little-endian, as theirs are:
//
//	0    1    version, 2
//	1    1    flags: 1 TCP, 2 RD, 4 CD, 8 DO, 16 there are more records than are shown
//	2    2    type
//	4    2    class
//	6    1    length n of the name
//	7    1    length p of the pool's name
//	8    16   the client's address, IPv4 as ::ffff:a.b.c.d; zero: not known
//	24   1    point: 0 miss, 1 query, 2 response
//	25   1    tags
//	26   2    RCODE of the answer
//	28   4    seconds that the answer may be kept
//	32   2    length r of the records
//	34   2    0
//	36   n    the name, wire form (RFC 1035 §3.1), lower case
//	36+n p    the pool's name
//	...  r    the records of the answer section: type (2), length of RDATA (2), TTL (4), RDATA with whole names
const (
	questionVersion = 2
	questionHeader  = 36
	recordHeader    = 8

	flagTCP = 1 << 0
	flagRD  = 1 << 1
	flagCD  = 1 << 2
	flagDO  = 1 << 3
	flagCut = 1 << 4
)

// Append encodes q. No allocation if dst has room for QuestionBytesMax.
func (q *Question) Append(dst []byte) []byte {
	pool := q.Pool[:min(len(q.Pool), PoolNameMax)]
	var flags byte
	for _, bit := range [...]struct {
		set  bool
		flag byte
	}{{q.TCP, flagTCP}, {q.RD, flagRD}, {q.CD, flagCD}, {q.DO, flagDO}, {q.Cut, flagCut}} {
		if bit.set {
			flags |= bit.flag
		}
	}
	dst = append(dst, questionVersion, flags)
	dst = binary.LittleEndian.AppendUint16(dst, q.Type)
	dst = binary.LittleEndian.AppendUint16(dst, q.Class)
	dst = append(dst, byte(len(q.Name)), byte(len(pool)))
	var client [16]byte
	if q.Client.IsValid() {
		client = q.Client.As16()
	}
	dst = append(dst, client[:]...)
	dst = append(dst, byte(q.Point), q.Tags)
	dst = binary.LittleEndian.AppendUint16(dst, q.RCode)
	dst = binary.LittleEndian.AppendUint32(dst, q.TTL)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(q.records)))
	dst = append(dst, 0, 0)
	dst = append(dst, q.Name...)
	dst = append(dst, pool...)
	return append(dst, q.records...)
}

// Parse makes q what raw encodes, with views of raw, and reports whether it is well-formed.
func (q *Question) Parse(raw []byte) bool {
	if len(raw) < questionHeader || raw[0] != questionVersion || raw[24] >= Points || raw[34]|raw[35] != 0 {
		return false
	}
	name := questionHeader + int(raw[6])
	pool := name + int(raw[7])
	if len(raw) != pool+int(binary.LittleEndian.Uint16(raw[32:])) || !wellFormed(raw[pool:]) {
		return false
	}
	flags := raw[1]
	*q = Question{
		Name: raw[questionHeader:name], Pool: raw[name:pool], records: raw[pool:],
		Type: binary.LittleEndian.Uint16(raw[2:]), Class: binary.LittleEndian.Uint16(raw[4:]),
		TCP: flags&flagTCP != 0, RD: flags&flagRD != 0, CD: flags&flagCD != 0, DO: flags&flagDO != 0, Cut: flags&flagCut != 0,
		Point: Point(raw[24]), Tags: raw[25], RCode: binary.LittleEndian.Uint16(raw[26:]), TTL: binary.LittleEndian.Uint32(raw[28:]),
	}
	if client := [16]byte(raw[8:24]); client != [16]byte{} {
		q.Client = netip.AddrFrom16(client).Unmap()
	}
	return true
}

// wellFormed reports whether these are whole records.
func wellFormed(records []byte) bool {
	for len(records) != 0 {
		if len(records) < recordHeader {
			return false
		}
		end := recordHeader + int(binary.LittleEndian.Uint16(records[2:]))
		if len(records) < end {
			return false
		}
		records = records[end:]
	}
	return true
}
