package wire

import "encoding/binary"

// Options that are between us and the next server, never passed on: to a client an answer goes with an OPT of our own.

// PadQuery makes the query in dst[:n], built by BuildQuery and not padded yet, a multiple of block bytes long (RFC 8467 §4.1) with a
// padding option of zeros (RFC 7830 §3) at the end of its OPT, and returns its new length, at most PaddedQueryBytesMax, which dst must have
// room for. A query that would be longer is padded to just that. Block 0, and a message without an OPT at its end, leave it as it is.
func PadQuery(dst []byte, n, block int) int {
	if block == 0 {
		return n
	}
	at := queryOPT(dst[:n])
	if at < 0 {
		return n
	}
	to := min((n+optionHeaderBytes+block-1)/block*block, PaddedQueryBytesMax)
	if to < n+optionHeaderBytes {
		return n
	}
	appendOption(dst[:to], at, n, optionPadding)
	return to
}

// AskKeepalive adds an empty keepalive option (RFC 7828 §3.1) to the query in dst[:n], which PadQuery may have padded with the same block,
// and returns its new length, at most PaddedQueryBytesMax, which dst must have room for. The option's four bytes come out of the padding
// where that is long enough. A message without an OPT at its end, or without room, is left as it is.
func AskKeepalive(dst []byte, n, block int) int {
	at := queryOPT(dst[:n])
	if at < 0 {
		return n
	}
	bare := n
	for off := at + OPTBytes; off < n; {
		size := optionHeaderBytes + int(binary.BigEndian.Uint16(dst[off+2:]))
		if off+size == n && binary.BigEndian.Uint16(dst[off:]) == optionPadding {
			bare = off
		}
		off += size
	}
	if bare+optionHeaderBytes > PaddedQueryBytesMax {
		return n
	}
	length := dst[at+OPTBytes-2:]
	binary.BigEndian.PutUint16(length, binary.BigEndian.Uint16(length)-uint16(n-bare))
	appendOption(dst[:bare+optionHeaderBytes], at, bare, optionKeepalive)
	if bare == n { // it had no padding
		return n + optionHeaderBytes
	}
	return PadQuery(dst, bare+optionHeaderBytes, block)
}

// appendOption makes msg[n:] an option of zeros, the last one of the OPT at msg[at:n].
func appendOption(msg []byte, at, n int, code uint16) {
	length := msg[at+OPTBytes-2:]
	binary.BigEndian.PutUint16(length, binary.BigEndian.Uint16(length)+uint16(len(msg)-n))
	binary.BigEndian.PutUint16(msg[n:], code)
	binary.BigEndian.PutUint16(msg[n+2:], uint16(len(msg)-n-optionHeaderBytes))
	clear(msg[n+optionHeaderBytes:])
}

// queryOPT returns where the OPT of msg starts if msg is a query with one question and, up to its end, an OPT of whole options, else -1.
func queryOPT(msg []byte) int {
	if len(msg) < HeaderBytes || binary.BigEndian.Uint64(msg[4:]) != 1<<48|1 {
		return -1
	}
	end := plainNameEnd(msg, HeaderBytes)
	if end < 0 || end+4+OPTBytes > len(msg) {
		return -1
	}
	opt := msg[end+4:]
	options := opt[OPTBytes:]
	if opt[0] != 0 || binary.BigEndian.Uint16(opt[1:]) != TypeOPT ||
		int(binary.BigEndian.Uint16(opt[OPTBytes-2:])) != len(options) || !wholeOptions(options) {
		return -1
	}
	return end + 4
}

// Keepalive returns the idle timeout that the response in msg announces (RFC 7828 §3.1), in units of 100 ms, and whether it announces one.
// It takes any bytes, looks at no more than it needs to get to the OPT, and does not allocate. An option without a timeout says nothing.
func Keepalive(msg []byte) (timeout uint16, announced bool) {
	if value, ok := keepaliveOption(responseOptions(msg)); ok && len(value) == 2 {
		return binary.BigEndian.Uint16(value), true
	}
	return 0, false
}

// HasKeepalive reports whether the response in msg holds a keepalive option, with a timeout or without. Otherwise it is like Keepalive.
func HasKeepalive(msg []byte) bool {
	_, ok := keepaliveOption(responseOptions(msg))
	return ok
}

// responseOptions returns the RDATA of the OPT of msg, which may be any bytes; nil if none is found.
func responseOptions(msg []byte) []byte {
	if len(msg) < HeaderBytes || binary.BigEndian.Uint16(msg[10:]) == 0 {
		return nil
	}
	off := HeaderBytes
	for range binary.BigEndian.Uint16(msg[4:]) {
		if off = skipName(msg, off); off < 0 || off+4 > len(msg) {
			return nil
		}
		off += 4
	}
	before := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	for i := range before + int(binary.BigEndian.Uint16(msg[10:])) {
		end := skipName(msg, off)
		if end < 0 || end+10 > len(msg) {
			return nil
		}
		data := end + 10
		next := data + int(binary.BigEndian.Uint16(msg[end+8:]))
		if next > len(msg) {
			return nil
		}
		if i >= before && binary.BigEndian.Uint16(msg[end:]) == TypeOPT {
			return msg[data:next]
		}
		off = next
	}
	return nil
}

// keepaliveOption returns the value of the first keepalive option in the RDATA of an OPT.
func keepaliveOption(options []byte) (value []byte, found bool) {
	for len(options) >= optionHeaderBytes {
		size := int(binary.BigEndian.Uint16(options[2:]))
		if optionHeaderBytes+size > len(options) {
			return nil, false
		}
		if binary.BigEndian.Uint16(options) == optionKeepalive {
			return options[optionHeaderBytes:][:size], true
		}
		options = options[optionHeaderBytes+size:]
	}
	return nil, false
}
