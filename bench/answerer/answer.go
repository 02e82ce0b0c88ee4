package answerer

import (
	"encoding/binary"
	"hash/maphash"
)

const (
	headerBytes = 12
	optBytes    = 11
	typeA       = 1
	typeTXT     = 16
	typeAAAA    = 28
	typeOPT     = 41
	classIN     = 1
	ttlSeconds  = 3600
	udpSize     = 1232

	flagQR = 0x80 // byte 2
	flagAA = 0x04 // byte 2
	flagRA = 0x80 // byte 3
)

// addressSeed makes addresses from questions: the same question has the same address for the life of the process.
var addressSeed = maphash.MakeSeed()

// appendAnswer appends the answer to query to dst, at most len(query)+answerBytesMax bytes. It returns dst as it was, and
// false, if query is not a query with one question.
func appendAnswer(dst, query []byte) ([]byte, bool) {
	if len(query) < headerBytes || query[2]&flagQR != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return dst, false
	}
	end := headerBytes
	for {
		if end >= len(query) || query[end] > 63 {
			return dst, false
		}
		if query[end] == 0 {
			break
		}
		end += int(query[end]) + 1
	}
	end += 5
	if end > len(query) {
		return dst, false
	}
	start := len(dst)
	dst = append(dst, query[:end]...)
	header := dst[start:]
	header[2] |= flagQR | flagAA
	header[3] = header[3]&0x10 | flagRA // CD stays, rcode 0
	clear(header[6:headerBytes])
	dst = appendRecord(dst, query[headerBytes:end])
	if len(dst) > start+end {
		dst[start+7] = 1
	}
	if hasOPT(query, end) {
		dst[start+11] = 1
		dst = append(dst, 0, 0, typeOPT, udpSize>>8, udpSize&0xff, 0, 0, 0, 0, 0, 0)
		dst[len(dst)-4] = query[end+7] & 0x80 // DO
	}
	return dst, true
}

// appendRecord appends the record that answers a question behind a header, or nothing if there is none of its type.
func appendRecord(dst, question []byte) []byte {
	qtype := question[len(question)-4:]
	sum := maphash.Bytes(addressSeed, question)
	bytes := 0
	switch binary.BigEndian.Uint16(qtype) {
	case typeA:
		bytes = 4
	case typeAAAA:
		bytes = 16
	case typeTXT:
		bytes = 1 + int(sum%(textBytesMax+1))
	default:
		return dst
	}
	dst = append(dst, 0xc0, headerBytes, qtype[0], qtype[1], 0, classIN)
	dst = binary.BigEndian.AppendUint32(dst, ttlSeconds)
	dst = binary.BigEndian.AppendUint16(dst, uint16(bytes))
	if qtype[1] == typeTXT {
		bytes--
		dst = append(dst, byte(bytes))
	}
	for i := range bytes {
		dst = append(dst, byte(sum>>(8*(i%8))))
	}
	return dst
}

// hasOPT tells whether the first record after the question is an OPT: nobody here sends another record before it.
func hasOPT(query []byte, end int) bool {
	return len(query) >= end+optBytes && query[end] == 0 && binary.BigEndian.Uint16(query[end+1:]) == typeOPT
}
