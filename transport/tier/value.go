package tier

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"secure-dns-proxy/transport/wire"
)

// A value, all numbers big-endian:
//
//	offset  bytes
//	0       4      "SDP" and the version
//	4       4      CRC-32C of all that follows
//	8       8      when the answer came, Unix time in milliseconds
//	16      4      for how long it was good then, seconds
//	20      2      bytes of the id
//	22             the id: length of the pool's name, name, key without the pool's tag (wire.WithoutPool)
//	               the message, as wire.WriteMessage writes it
const (
	valueMagic  = "SDP\x01"
	valueHeader = 22
	nameVersion = ":1:"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendID appends what names a question in all instances.
func appendID(dst []byte, pool string, key []byte) []byte {
	dst = append(append(dst, byte(len(pool))), pool...)
	return wire.WithoutPool(dst, key)
}

// nameOf returns the name that the value for an id is stored under.
func nameOf(prefix string, id []byte) string {
	sum := sha256.Sum256(id)
	return prefix + nameVersion + base64.RawURLEncoding.EncodeToString(sum[:])
}

// AppendValue appends the value for an answer that came at stored, Unix time in milliseconds, and is good for ttl seconds from then on.
func AppendValue(dst []byte, stored int64, ttl uint32, id, msg []byte) []byte {
	start := len(dst)
	dst = append(dst, valueMagic...)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(stored))
	dst = binary.BigEndian.AppendUint32(dst, min(ttl, ttlMax))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(id)))
	dst = append(append(dst, id...), msg...)
	binary.BigEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// Verdict is what ParseValue says of a value.
type Verdict uint8

const (
	Good    Verdict = iota
	Expired         // its time is over, by this machine's clock
	Broken          // damaged, of another version, or to another question
)

// ParseValue checks a value for an id and returns the message in it with what is left of its TTLs at now, Unix time in milliseconds. The message is a view of
// data, whose TTLs are changed; beyond them nothing of it has been looked at but that its records can be stepped over. It never allocates.
//
// No TTL is longer than what is left of the value's: fractions of a second are taken off, and where the clock of the instance that stored the
// value is ahead of ours, it is as old as nothing.
func ParseValue(data []byte, id []byte, now int64) (msg []byte, v Verdict) {
	if len(data) < valueHeader || string(data[:4]) != valueMagic ||
		crc32.Checksum(data[8:], castagnoli) != binary.BigEndian.Uint32(data[4:]) {
		return nil, Broken
	}
	stored, ttl := int64(binary.BigEndian.Uint64(data[8:])), binary.BigEndian.Uint32(data[16:])
	end := valueHeader + int(binary.BigEndian.Uint16(data[20:]))
	if end > len(data) || !bytes.Equal(data[valueHeader:end], id) || stored < 0 || ttl > ttlMax {
		return nil, Broken
	}
	age := uint64(0)
	if now > stored {
		age = (uint64(now-stored) + 999) / 1000
	}
	if age >= uint64(ttl) {
		return nil, Expired
	}
	if msg = data[end:]; !wire.AgeTTLs(msg, uint32(age), ttl-uint32(age)) {
		return nil, Broken
	}
	return msg, Good
}
