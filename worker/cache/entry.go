package cache

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"secure-dns-proxy/transport/wire"
)

// entry is the header of a cached answer in a chunk; TTL offsets, key, records and perhaps an extended error follow it without gaps. It holds no pointers.
type entry struct {
	hash           uint64
	expire, stored uint32 // seconds; expired from expire on
	flags          uint16 // Answer.Flags
	an, ns, ar     uint16
	recordBytes    uint16
	ttls           uint16 // TTL offsets
	units          uint16 // room taken, in units of 8 bytes
	keyBytes       uint8  // less keyBytesMin, less 256 with bitsLongKey
	bits           uint8
}

// Bits of entry.bits. The low two count visits since the entry was stored or last moved.
const (
	bitsVisits   = visitsMax
	bitsNegative = 1 << 2
	bitsDead     = 1 << 3          // replaced, deleted, moved or evicted: not in the index any more
	bitsLongKey  = 1 << 4          // see keyBytes
	bitsExtended = 1 << 5          // two more bytes at the end: Answer.Extended
	bitsFlush    = 3 << flushShift // number of the last flush that it is known not to be subject to
)

const (
	flushShift   = 6
	flushNumbers = 4 // that two bits hold
)

const longKeyShift = 4 // from bitsLongKey to 256

// entryUnits is the room an entry takes, in units.
func entryUnits(key []byte, a *wire.Answer) int {
	extended := 0
	if a.Extended != 0 {
		extended = extendedBytes
	}
	return (headerBytes + 2*len(a.TTLs) + len(key) + len(a.Records) + extended + unitBytes - 1) / unitBytes
}

// keyLen is the length of the key.
func (e *entry) keyLen() int {
	return int(e.keyBytes) + keyBytesMin + int(e.bits&bitsLongKey)<<longKeyShift
}

// at is the entry that a reference names.
func (s *Shard) at(ref uint32) *entry {
	return entryAt(s.chunks[ref>>chunkBits].mem, int(ref&(1<<chunkBits-1))*unitBytes)
}

// entryAt views the header at off, a multiple of 8, of a chunk's memory.
func entryAt(mem []byte, off int) *entry {
	return (*entry)(unsafe.Pointer(unsafe.SliceData(mem[off : off+headerBytes])))
}

// body is all that follows the header. e must point into a chunk.
func (e *entry) body() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e), headerBytes)), int(e.units)*unitBytes-headerBytes)
}

// ttlOffsets views the list that body starts with; it is as aligned as the header.
func ttlOffsets(body []byte, count uint16) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(body))), count)
}

func (e *entry) bytes() int { return int(e.units) * unitBytes }

func (e *entry) visits() uint8 { return e.bits & bitsVisits }

func (e *entry) expired(now uint32) bool { return e.expire <= now }

// visit counts a hit, as far as two bits go; a hot entry is not written to.
func (e *entry) visit() {
	if e.bits&bitsVisits < visitsMax {
		e.bits++
	}
}

// key views the key.
func (e *entry) key() []byte {
	start := 2 * int(e.ttls)
	return e.body()[start : start+e.keyLen()]
}

// holds says whether e is the entry of key.
func (e *entry) holds(hash uint64, key []byte) bool {
	if e.hash != hash || e.keyLen() != len(key) {
		return false
	}
	start := 2 * int(e.ttls)
	return bytes.Equal(e.body()[start:start+len(key)], key)
}

// fill writes everything but units and the visits, which stay.
func (e *entry) fill(hash uint64, key []byte, a *wire.Answer, ttl, stored uint32) {
	e.hash = hash
	e.expire, e.stored = stored+ttl, stored
	e.flags = a.Flags&^wire.RCodeMask | a.RCode
	e.an, e.ns, e.ar = a.AN, a.NS, a.AR
	e.recordBytes, e.ttls = uint16(len(a.Records)), uint16(len(a.TTLs))
	e.keyBytes = uint8(len(key) - keyBytesMin)
	e.bits &= bitsVisits
	if a.Negative {
		e.bits |= bitsNegative
	}
	if len(key)-keyBytesMin >= 256 {
		e.bits |= bitsLongKey
	}
	body := e.body()
	copy(ttlOffsets(body, e.ttls), a.TTLs)
	n := 2 * len(a.TTLs)
	n += copy(body[n:], key)
	n += copy(body[n:], a.Records)
	if a.Extended != 0 {
		e.bits |= bitsExtended
		binary.NativeEndian.PutUint16(body[n:], a.Extended)
	}
}

// view fills a with views of e.
func (e *entry) view(a *wire.Answer) {
	body := e.body()
	start := 2*int(e.ttls) + e.keyLen()
	*a = wire.Answer{
		Flags: e.flags, AN: e.an, NS: e.ns, AR: e.ar,
		Records:  body[start : start+int(e.recordBytes)],
		TTLs:     ttlOffsets(body, e.ttls),
		TTL:      e.expire - e.stored,
		Negative: e.bits&bitsNegative != 0,
		RCode:    e.flags & wire.RCodeMask,
	}
	if e.bits&bitsExtended != 0 {
		a.Extended = binary.NativeEndian.Uint16(body[start+int(e.recordBytes):])
	}
}
