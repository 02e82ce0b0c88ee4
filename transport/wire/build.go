package wire

import "encoding/binary"

// BuildQuery writes the upstream query for key to dst and returns its length, at most BuiltQueryBytesMax, which dst must have room for.
//
// RD and CD come from the key's flags, DO too. AD is always set: the cache serves validated and plain clients from one entry, so it
// must learn the AD state (RFC 6840 §5.7). There is always an OPT that announces udpSize; its options are those of the key's variant.
func BuildQuery(dst []byte, id uint16, key []byte, udpSize uint16) int {
	question := KeyQuestion(key)
	keyFlags := uint16(key[len(question)])
	n := HeaderBytes + len(question)
	end := n + OPTBytes
	if len(key) > len(question)+1 {
		end = appendVariant(dst, end, key)
	}
	dst = dst[:end]
	flags := FlagAD | keyFlags&KeyRD<<(8-2) | keyFlags&KeyCD<<(4-1)
	putHeader(dst, id, flags, 0, 0, 1)
	copy(dst[HeaderBytes:n], question)
	putOPT(dst[n:], udpSize, 0, keyFlags&KeyDO != 0, uint16(end-n-OPTBytes))
	return end
}

// appendVariant writes the options that key's variant stands for to dst[n:] and returns where they end.
func appendVariant(dst []byte, n int, key []byte) int {
	out := dst[:n]
	if s, sent := KeySubnet(key); sent {
		out = AppendSubnetOption(out, &s, 0)
	}
	return len(append(out, KeyOptions(key)...))
}

// putHeader writes a header with one question.
func putHeader(dst []byte, id, flags, an, ns, ar uint16) {
	_ = dst[HeaderBytes-1]
	binary.BigEndian.PutUint32(dst, uint32(id)<<16|uint32(flags))
	binary.BigEndian.PutUint64(dst[4:], 1<<48|uint64(an)<<32|uint64(ns)<<16|uint64(ar))
}

// putOPT writes an OPT record of version 0 whose options take optionBytes (RFC 6891 §6.1.2). rcode is the whole extended rcode.
func putOPT(dst []byte, udpSize, rcode uint16, do bool, optionBytes uint16) {
	_ = dst[OPTBytes-1]
	var flags uint16
	if do {
		flags = optDO
	}
	dst[0] = 0
	binary.BigEndian.PutUint32(dst[1:], TypeOPT<<16|uint32(udpSize))
	dst[5] = byte(rcode >> 4)
	dst[6] = 0
	binary.BigEndian.PutUint32(dst[7:], uint32(flags)<<16|uint32(optionBytes))
}
