package wire

import "encoding/binary"

// AgeTTLs lowers the TTL of every record of the response in msg, in place: by age seconds, and then to limit seconds at most. A TTL of 2^31
// and more counts as ttlMax. The TTL field of an OPT holds flags and stays as it is (RFC 6891 §6.1.3).
//
// An SOA in the authority section starts from the lesser of its TTL and its MINIMUM: that is for how long a negative answer was good when it
// left its server (RFC 2308 §5).
//
// It is for what a transport knows about an answer's age (RFC 8484 §5.1), before anybody has parsed the message: records are only stepped
// over. False: the message is cut short or has no readable names, part of it may have been changed, and ParseResponse finds a fault in
// it too. It never allocates.
func AgeTTLs(msg []byte, age, limit uint32) bool {
	if len(msg) < HeaderBytes || len(msg) > MessageBytesMax {
		return false
	}
	off := HeaderBytes
	for range binary.BigEndian.Uint16(msg[4:]) {
		end := nameEnd(msg, off)
		if end < 0 || end+4 > len(msg) {
			return false
		}
		off = end + 4
	}
	answers, authority := int(binary.BigEndian.Uint16(msg[6:])), int(binary.BigEndian.Uint16(msg[8:]))
	for i := range answers + authority + int(binary.BigEndian.Uint16(msg[10:])) {
		end := nameEnd(msg, off)
		if end < 0 || end+10 > len(msg) {
			return false
		}
		if off = end + 10 + int(binary.BigEndian.Uint16(msg[end+8:])); off > len(msg) {
			return false
		}
		rrtype, ttl := binary.BigEndian.Uint16(msg[end:]), binary.BigEndian.Uint32(msg[end+4:])
		if rrtype == TypeOPT {
			continue
		}
		ttl = min(ttl, ttlMax)
		if rrtype == TypeSOA && i >= answers && i < answers+authority && off >= end+10+soaFixedBytes {
			ttl = min(ttl, binary.BigEndian.Uint32(msg[off-4:]))
		}
		binary.BigEndian.PutUint32(msg[end+4:], min(ttl-min(ttl, age), limit))
	}
	return true
}

// ttlMax is the longest TTL: 31 bits (RFC 2181 §8). What is longer is positive and capped (RFC 8767 §4), not 0 as that RFC had it.
const ttlMax = 1<<31 - 1

// soaFixedBytes ends the RDATA of an SOA, MINIMUM last (RFC 1035 §3.3.13).
const soaFixedBytes = 20

// nameEnd returns the offset after the name at off, which a pointer may end, or -1 if there is none: a reserved label
// type, or cut short. Pointers are not followed.
func nameEnd(msg []byte, off int) int {
	for off < len(msg) {
		c := int(msg[off])
		switch {
		case c == 0:
			return off + 1
		case c >= 0xC0 && off+1 < len(msg):
			return off + 2
		case c > labelBytesMax:
			return -1
		}
		off += 1 + c
	}
	return -1
}
