package wire

import (
	"bytes"
	"testing"
)

func TestWriteReply(t *testing.T) {
	const asked = "\x07eXample\x03com\x00" + typeAIN
	answer := Answer{Flags: 0x8580 | FlagAD, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, TTL: 300} // QR AA RD RA AD
	aged := func(ttl string) string { return toName + typeAIN + ttl + addressA[10:] }
	plain := Client{ID: 0xbeef, Flags: FlagRD, Question: []byte(asked), Limit: 512}
	with := func(change func(*Client)) Client { c := plain; change(&c); return c }

	tests := []struct {
		name   string
		client Client
		answer Answer
		age    uint32
		want   string
	}{
		{"fresh", plain, answer, 0, "\xbe\xef\x85\x80" + one[:2] + "\x00\x01\x00\x00\x00\x00" + asked + addressA},
		{"aged", plain, answer, 44, "\xbe\xef\x85\x80" + one[:2] + "\x00\x01\x00\x00\x00\x00" + asked + aged("\x00\x00\x01\x00")},
		{"older than its TTL", plain, answer, 301, "\xbe\xef\x85\x80" + one[:2] + "\x00\x01\x00\x00\x00\x00" + asked + aged("\x00\x00\x00\x00")},
		{"no RD, but CD", with(func(c *Client) { c.Flags = FlagCD }), answer, 0, "\xbe\xef\x84\x90" + one[:2] + "\x00\x01\x00\x00\x00\x00" + asked + addressA},
		{"AD for AD", with(func(c *Client) { c.Flags = FlagAD }), answer, 0, "\xbe\xef\x84\xa0" + one[:2] + "\x00\x01\x00\x00\x00\x00" + asked + addressA},
		{"EDNS", with(func(c *Client) { c.HasOPT = true }), answer, 0, "\xbe\xef\x85\x80" + one[:2] + "\x00\x01\x00\x00\x00\x01" + asked + addressA + opt1232},
		{"DO and AD", with(func(c *Client) { c.HasOPT, c.DO = true, true }), answer, 0, "\xbe\xef\x85\xa0" + one[:2] + "\x00\x01\x00\x00\x00\x01" + asked + addressA + opt1232DO},
		{"too long", with(func(c *Client) { c.Limit = 12 + len(asked) + len(addressA) - 1 }), answer, 0, "\xbe\xef\x87\x80" + one + asked},
		{
			"too long with EDNS", with(func(c *Client) { c.HasOPT = true; c.Limit = 12 + len(asked) + len(addressA) + 10 }), answer, 0,
			"\xbe\xef\x87\x80" + oneOPT + asked + opt1232,
		},
		{
			"just fits with EDNS", with(func(c *Client) { c.HasOPT = true; c.Limit = 12 + len(asked) + len(addressA) + 11 }), answer, 0,
			"\xbe\xef\x85\x80" + one[:2] + "\x00\x01\x00\x00\x00\x01" + asked + addressA + opt1232,
		},
		{"NXDOMAIN", plain, Answer{Flags: 0x8183, RCode: 3}, 0, "\xbe\xef\x81\x83" + one + asked},
		{
			"extended rcode with EDNS", with(func(c *Client) { c.HasOPT = true }),
			Answer{Flags: 0x8187, RCode: 0x17},
			0,
			"\xbe\xef\x81\x87" + oneOPT + asked + "\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00",
		},
		{"extended rcode without EDNS", plain, Answer{Flags: 0x8187, RCode: 0x17}, 0, "\xbe\xef\x81\x82" + one + asked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records := bytes.Clone(tt.answer.Records)
			dst := bytes.Repeat([]byte{0xEE}, 600)
			n := WriteReply(dst, &tt.client, &tt.answer, tt.age, 1232)
			if got := string(dst[:n]); got != tt.want {
				t.Errorf("got\n%q, want\n%q", got, tt.want)
			}
			if n > tt.client.Limit {
				t.Errorf("%d bytes, limit %d", n, tt.client.Limit)
			}
			if !bytes.Equal(records, tt.answer.Records) {
				t.Error("the answer was modified")
			}
			if bytes.Count(dst[n:], []byte{0xEE}) != len(dst)-n {
				t.Error("wrote past its length")
			}
		})
	}
}

func TestWriteReplyKeepsToShortBuffer(t *testing.T) {
	c := Client{Question: []byte(exampleA), Limit: MessageBytesMax}
	a := Answer{Flags: flagsAnswer, AN: 100, Records: make([]byte, 1600)}
	dst := make([]byte, ReplyBytesMin)
	n := WriteReply(dst, &c, &a, 0, 1232)
	if n != HeaderBytes+len(exampleA) || dst[2]&(FlagTC>>8) == 0 {
		t.Errorf("wrote %d bytes, flags %#x, want a truncated reply", n, dst[2])
	}
}

func TestWriteError(t *testing.T) {
	c := Client{ID: 0xbeef, Flags: FlagRD | FlagCD | FlagAD, Question: []byte(exampleA), Limit: 512}
	edns := c
	edns.HasOPT, edns.DO = true, true
	bare := Client{ID: 0xbeef, Flags: 0x2900} // opcode UPDATE, RD
	tests := []struct {
		name       string
		client     Client
		rcode, ede uint16
		want       string
	}{
		{"SERVFAIL", c, RCodeServFail, EDENoReachableAuthority, "\xbe\xef\x81\x92" + one + exampleA},
		{"with EDNS, no EDE", edns, RCodeRefused, EDENone, "\xbe\xef\x81\x95" + oneOPT + exampleA + opt1232DO},
		{
			"with EDE", edns, RCodeServFail, EDENoReachableAuthority,
			"\xbe\xef\x81\x92" + oneOPT + exampleA + "\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x06\x00\x0f\x00\x02\x00\x16",
		},
		{"BADVERS", edns, RCodeBadVers, EDENone, "\xbe\xef\x81\x90" + oneOPT + exampleA + "\x00\x00\x29\x04\xd0\x01\x00\x80\x00\x00\x00"},
		{"BADVERS without EDNS", c, RCodeBadVers, EDENone, "\xbe\xef\x81\x92" + one + exampleA},
		{"no question", bare, RCodeNotImp, EDENone, "\xbe\xef\xa9\x84\x00\x00\x00\x00\x00\x00\x00\x00"},
	}
	for _, tt := range tests {
		dst := bytes.Repeat([]byte{0xEE}, ErrorBytesMax)
		n := WriteError(dst, &tt.client, tt.rcode, tt.ede, 1232)
		if got := string(dst[:n]); got != tt.want {
			t.Errorf("%s: got\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
}

// TestErrorFitsEveryClient: the longest question with the longest options and the longest reason stays within ErrorBytesMax, and so within 512
// bytes.
func TestErrorFitsEveryClient(t *testing.T) {
	c := Client{Question: []byte(longName(NameBytesMax) + typeAIN), HasOPT: true, Options: make([]byte, ReplyOptionsMax), Limit: ReplyBytesMin}
	dst := make([]byte, ErrorBytesMax)
	for reason := uint16(reasonFirst); reason < reasonEnd; reason++ {
		if n := WriteError(dst, &c, RCodeServFail, reason, 1232); n > ErrorBytesMax {
			t.Errorf("reason %#x: wrote %d bytes, ErrorBytesMax is %d", reason, n, ErrorBytesMax)
		}
	}
}
