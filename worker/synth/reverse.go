package synth

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"secure-dns-proxy/transport/wire"
)

// ip6 and inAddr end reverse names (RFC 3596 §2.5, RFC 1035 §3.5).
var (
	ip6    = []byte("\x03ip6\x04arpa\x00")
	inAddr = []byte("\x07in-addr\x04arpa\x00")
)

// nibblesBytes is the part of a reverse name of an IPv6 address before ip6.arpa: 32 labels of one digit.
const nibblesBytes = 32 * 2

// Reverse returns the IPv4 address that the reverse name of an IPv6 address, folded, stands for; false if it is none, or not of our prefix.
func (d *DNS64) Reverse(name []byte) (v4 uint32, ok bool) {
	if len(name) != nibblesBytes+len(ip6) || !bytes.Equal(name[nibblesBytes:], ip6) {
		return 0, false
	}
	var v6 [16]byte
	for i := range 32 {
		digit, ok := hexDigit(name[2*i+1])
		if name[2*i] != 1 || !ok {
			return 0, false
		}
		v6[15-i/2] |= digit << (4 * (i % 2))
	}
	octets, ok := d.Extract(v6)
	return binary.BigEndian.Uint32(octets[:]), ok
}

// AppendReverse appends the reverse name of an IPv4 address to dst.
func AppendReverse(dst []byte, v4 uint32) []byte {
	for range 4 {
		at := len(dst)
		dst = strconv.AppendUint(append(dst, 0), uint64(v4&0xFF), 10)
		dst[at] = byte(len(dst) - at - 1)
		v4 >>= 8
	}
	return append(dst, inAddr...)
}

func hexDigit(c byte) (digit byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// Alias builds the answer for name out of a, the answer to question, which has the name that name is to be an alias of: a CNAME between them and
// what a says (RFC 6147 §5.3.1). The CNAME is as long good as a is.
func Alias(b *wire.Assembly, a *wire.Answer, question, name []byte) (*wire.Answer, bool) {
	b.Begin(name, a.Flags&^(wire.FlagAD|wire.FlagAA), a.RCode)
	b.Add(wire.Answers, name, wire.TypeCNAME, wire.ClassINET, a.TTL, question[:len(question)-4])
	for i := range int(a.AN) + int(a.NS) {
		in := wire.Answers
		if i >= int(a.AN) {
			in = wire.Authority
		}
		b.Copy(in, a, question, i, a.TTLOf(i))
	}
	out, ok := finish(b, a)
	out.TTL = min(out.TTL, a.TTL)
	return out, ok
}
