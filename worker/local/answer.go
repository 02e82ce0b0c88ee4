package local

import (
	"encoding/binary"
	"fmt"
	"strings"

	"secure-dns-proxy/transport/wire"
)

// name is the wire form of a name that this package has written down.
func name(text string) []byte {
	var out []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		out = append(append(out, byte(len(label))), label...)
	}
	return append(out, 0)
}

// question is a compression pointer to the name that was asked for (RFC 1035 §4.1.4).
var question = []byte{0xC0, wire.HeaderBytes}

// positive is an answer of one record.
func positive(rrtype uint16, ttl uint32, data []byte) *wire.Answer {
	a := &wire.Answer{Flags: wire.FlagAA, AN: 1, Extended: wire.EDESynthesized}
	a.AppendRecord(question, rrtype, wire.ClassINET, ttl, data)
	return a
}

// negative is an answer that something is not there, with the SOA that lets it be cached (RFC 2308 §3).
func negative(zone []byte, rcode uint16) *wire.Answer {
	a := &wire.Answer{Flags: wire.FlagAA, NS: 1, RCode: rcode, Negative: true, Extended: wire.EDESynthesized}
	a.AppendRecord(zone, wire.TypeSOA, wire.ClassINET, soaTTL, soaData(zone))
	return a
}

// soaData is that of RFC 6303 §3.
func soaData(zone []byte) []byte {
	data := append([]byte(nil), zone...)
	data = append(data, name("nobody.invalid.")...)
	for _, n := range [...]uint32{1, 3600, 1200, 604800, soaTTL} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	return data
}

// hinfo is RFC 8482 §4.2.
func hinfo() *wire.Answer {
	a := positive(wire.TypeHINFO, anyTTL, append(characters("RFC8482"), characters("")...))
	a.Flags = 0
	return a
}

// chaosText is RFC 4892's form of an answer, which nobody should keep.
func chaosText(text string) *wire.Answer {
	a := &wire.Answer{Flags: wire.FlagAA, AN: 1}
	a.AppendRecord(question, wire.TypeTXT, wire.ClassCHAOS, 0, characters(text))
	return a
}

// characters is a <character-string> of RFC 1035 §3.3; text is at most TextBytesMax.
func characters(text string) []byte { return append([]byte{byte(len(text))}, text...) }

// privateReverse lists the zones of RFC 6303 §4 and RFC 7793.
func privateReverse() []string {
	zones := []string{
		"10.in-addr.arpa.", "168.192.in-addr.arpa.", // §4.1, with those below: RFC 1918
		"0.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.", "2.0.192.in-addr.arpa.", // §4.2
		"100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		strings.Repeat("0.", 32) + "ip6.arpa.", "1." + strings.Repeat("0.", 31) + "ip6.arpa.", // §4.3
		"d.f.ip6.arpa.",                                                            // §4.4
		"8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", // §4.5
		"8.b.d.0.1.0.0.2.ip6.arpa.", // §4.6
	}
	for n := 16; n <= 31; n++ {
		zones = append(zones, fmt.Sprintf("%d.172.in-addr.arpa.", n))
	}
	for n := 64; n <= 127; n++ { // RFC 7793
		zones = append(zones, fmt.Sprintf("%d.100.in-addr.arpa.", n))
	}
	return zones
}
