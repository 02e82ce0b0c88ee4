package wire

import "testing"

func TestZone(t *testing.T) {
	const www, root = "\x03www\x07example\x03com\x00", "\x00"
	const soaData = "\x00\x00" + "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"
	soa := func(owner string) string { return record(owner, "\x00\x06", ttl300, soaData) }
	cname := record("\xc0\x0c", "\x00\x05", ttl300, "\x01x\x07example\x03net\x00")
	for _, tt := range []struct {
		test    string
		name    string
		an, ns  uint16
		records string
		want    string
	}{
		{"a pointer into the question", www, 0, 1, soa("\xc0\x10"), "\x07example\x03com\x00"},
		{"a pointer to the whole of it", www, 0, 1, soa("\xc0\x0c"), www},
		{"in full", www, 0, 1, soa("\x03com\x00"), "\x03com\x00"},
		{"a label and a pointer", www, 0, 1, soa("\x07example\xc0\x18"), "\x07example\x03com\x00"},
		{"the root", www, 0, 1, soa("\x00"), "\x00"},
		{"behind another record", www, 0, 2, record("\xc0\x0c", "\x00\x2f", ttl300, "x") + soa("\xc0\x10"), "\x07example\x03com\x00"},
		{"a pointer into the answer", www, 1, 1, cname + soa("\xc0\x2f"), "\x07example\x03com\x00"}, // example.net, as long
		{"no SOA", www, 0, 0, "", "\x07example\x03com\x00"},
		{"no ancestor", www, 0, 1, soa("\x04much\x06longer\x04than\x07example\x03com\x00"), "\x07example\x03com\x00"},
		{"no whole label", www, 0, 1, soa("\x01x\x03com\x00"), "\x07example\x03com\x00"},
		{"a pointer to itself", www, 0, 1, soa("\xc0\x21"), "\x07example\x03com\x00"},
		{"a pointer into the header", www, 0, 1, soa("\xc0\x01"), "\x07example\x03com\x00"},
		{"of the root", root, 0, 0, "", "\x00"},
	} {
		response := []byte(answerHead(nxdomain, tt.an, tt.ns, 0) + tt.name + typeAIN + tt.records)
		var a Answer
		a.AN, a.NS, a.Records = tt.an, tt.ns, response[HeaderBytes+len(tt.name)+4:]
		for off, n := 0, uint16(0); n < tt.an+tt.ns; n++ {
			end := skipOwner(a.Records, off)
			a.TTLs = append(a.TTLs, uint16(end+4))
			off = a.endOf(int(n) + 1)
		}
		if got := string(a.Zone([]byte(tt.name))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.test, got, tt.want)
		}
	}
}

// skipOwner is the offset behind the name at off.
func skipOwner(records []byte, off int) int {
	for {
		switch c := int(records[off]); {
		case c == 0:
			return off + 1
		case c >= 0xC0:
			return off + 2
		default:
			off += 1 + c
		}
	}
}
