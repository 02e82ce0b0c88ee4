package worker

import (
	"encoding/binary"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
)

// A record is a cached answer outside of a cache, on its way to or from a file. Numbers are little-endian:
//
//	0  worker (2)   2  visits (1)   3  negative (1)   4  age, seconds (4)   8  TTL when it was stored (4)
//	12 flags, AN, NS, AR, extended error (2 each)     22 bytes of the key (2)
//	24 key | records
//
// The pool in the key is the tag that it has in the process that wrote it.
const recordFixedBytes = 24

// RecordBytesMax is the longest record.
const RecordBytesMax = recordFixedBytes + wire.KeyBytesMax + wire.MessageBytesMax

// record is a view of one.
type record []byte

// recordBytes is the length of the record of e.
func recordBytes(e *cache.Seen) int { return recordFixedBytes + len(e.Key) + len(e.Answer.Records) }

// putRecord writes the record of e, an entry of that worker, to dst, which has room.
func putRecord(dst []byte, e *cache.Seen, worker int, now uint32) {
	a, le := &e.Answer, binary.LittleEndian
	le.PutUint16(dst, uint16(worker))
	dst[2], dst[3] = e.Visits, 0
	if a.Negative {
		dst[3] = 1
	}
	le.PutUint32(dst[4:], now-min(now, e.Stored))
	le.PutUint32(dst[8:], e.Expire-e.Stored)
	for i, n := range [...]uint16{a.Flags&^wire.RCodeMask | a.RCode, a.AN, a.NS, a.AR, wire.Portable(a.Extended), uint16(len(e.Key))} {
		le.PutUint16(dst[12+2*i:], n)
	}
	n := recordFixedBytes + copy(dst[recordFixedBytes:], e.Key)
	copy(dst[n:], a.Records)
}

// valid reports whether r has all its parts and a key that can be one. What the records are worth is seen when the answer is restored.
func (r record) valid() bool {
	return len(r) >= recordFixedBytes && len(r) <= RecordBytesMax && recordFixedBytes+r.keyBytes() <= len(r) && wire.ValidKey(r.key())
}

func (r record) worker() int      { return int(binary.LittleEndian.Uint16(r)) }
func (r record) visits() uint8    { return r[2] }
func (r record) negative() bool   { return r[3] != 0 }
func (r record) age() uint32      { return binary.LittleEndian.Uint32(r[4:]) }
func (r record) setAge(s uint32)  { binary.LittleEndian.PutUint32(r[4:], s) }
func (r record) ttl() uint32      { return binary.LittleEndian.Uint32(r[8:]) }
func (r record) extended() uint16 { return binary.LittleEndian.Uint16(r[20:]) }
func (r record) keyBytes() int    { return int(binary.LittleEndian.Uint16(r[22:])) }
func (r record) key() []byte      { return r[recordFixedBytes : recordFixedBytes+r.keyBytes()] }
func (r record) records() []byte  { return r[recordFixedBytes+r.keyBytes():] }

// message writes the response that r stands for, with its question, to dst, and returns it; nil: it is longer than a message can be.
func (r record) message(dst []byte) []byte {
	question := wire.KeyQuestion(r.key())
	n := wire.HeaderBytes + len(question) + len(r.records())
	if n > len(dst) {
		return nil
	}
	le, be := binary.LittleEndian, binary.BigEndian
	be.PutUint16(dst, 0)
	be.PutUint16(dst[2:], le.Uint16(r[12:]))
	be.PutUint16(dst[4:], 1)
	for i := range 3 {
		be.PutUint16(dst[6+2*i:], le.Uint16(r[14+2*i:]))
	}
	copy(dst[wire.HeaderBytes:], question)
	copy(dst[wire.HeaderBytes+len(question):], r.records())
	return dst[:n]
}
