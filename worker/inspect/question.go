package inspect

import (
	"encoding/binary"
	"net/netip"
)

// Question is what an inspector is shown. Its views are valid during the call.
type Question struct {
	Name        []byte // wire form, lower case
	Type, Class uint16
	TCP         bool       // the client's transport
	RD, CD, DO  bool       // recursion desired, checking disabled, DNSSEC records wanted
	Client      netip.Addr // of the first client that waits; invalid: it is not known
	Pool        []byte     // name of the pool whose upstreams would be asked
}

// An encoded question, what WebAssembly modules are shown too; integers are little-endian, as theirs are:
//
//	0    1    version, 1
//	1    1    flags: 1 TCP, 2 RD, 4 CD, 8 DO
//	2    2    type
//	4    2    class
//	6    1    length n of the name
//	7    1    length p of the pool's name
//	8    16   the client's address, IPv4 as ::ffff:a.b.c.d; zero: not known
//	24   n    the name, wire form (RFC 1035 §3.1), lower case
//	24+n p    the pool's name
const (
	questionVersion = 1
	questionHeader  = 24

	flagTCP = 1 << 0
	flagRD  = 1 << 1
	flagCD  = 1 << 2
	flagDO  = 1 << 3
)

// Append encodes q. No allocation if dst has room for QuestionBytesMax.
func (q *Question) Append(dst []byte) []byte {
	pool := q.Pool[:min(len(q.Pool), PoolNameMax)]
	var flags byte
	for _, bit := range [...]struct {
		set  bool
		flag byte
	}{{q.TCP, flagTCP}, {q.RD, flagRD}, {q.CD, flagCD}, {q.DO, flagDO}} {
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
	dst = append(dst, q.Name...)
	return append(dst, pool...)
}

// Parse makes q what raw encodes, with views of raw, and reports whether it is well-formed.
func (q *Question) Parse(raw []byte) bool {
	if len(raw) < questionHeader || raw[0] != questionVersion {
		return false
	}
	name := questionHeader + int(raw[6])
	if len(raw) != name+int(raw[7]) {
		return false
	}
	flags := raw[1]
	*q = Question{
		Name: raw[questionHeader:name], Pool: raw[name:],
		Type: binary.LittleEndian.Uint16(raw[2:]), Class: binary.LittleEndian.Uint16(raw[4:]),
		TCP: flags&flagTCP != 0, RD: flags&flagRD != 0, CD: flags&flagCD != 0, DO: flags&flagDO != 0,
	}
	if client := [16]byte(raw[8:questionHeader]); client != [16]byte{} {
		q.Client = netip.AddrFrom16(client).Unmap()
	}
	return true
}
