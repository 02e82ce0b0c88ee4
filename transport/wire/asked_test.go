package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func option(code, size int) string {
	return string([]byte{0, byte(code), 0, byte(size)}) + strings.Repeat("x", size)
}

func TestAsked(t *testing.T) {
	for _, tt := range []struct {
		name, options  string
		client, server int // bytes
		nsid           bool
		fault          Fault
	}{
		{name: "nothing"},
		{name: "something unknown", options: option(99, 5)},
		{name: "NSID", options: option(3, 0), nsid: true},
		{name: "a client cookie", options: option(10, 8), client: 8},
		{name: "the shortest server cookie", options: option(10, 16), client: 8, server: 8},
		{name: "ours", options: option(10, 24), client: 8, server: 16},
		{name: "the longest", options: option(10, 40), client: 8, server: 32},
		{name: "after others", options: option(99, 5) + option(3, 0) + option(10, 8), client: 8, nsid: true},
		{name: "the first of two", options: option(10, 24) + option(10, 8), client: 8, server: 16},
		{name: "the first of two, the other malformed", options: option(10, 24) + option(10, 1), client: 8, server: 16},
		{name: "empty", options: option(10, 0), fault: FaultCookie},
		{name: "7", options: option(10, 7), fault: FaultCookie},
		{name: "9", options: option(10, 9), fault: FaultCookie},
		{name: "15", options: option(10, 15), fault: FaultCookie},
		{name: "41", options: option(10, 41), fault: FaultCookie},
		{name: "malformed, before NSID", options: option(10, 41) + option(3, 0), nsid: true, fault: FaultCookie},
		{name: "malformed, before a good one", options: option(10, 41) + option(10, 8), fault: FaultCookie},
	} {
		var q Query
		if fault := ParseQuery([]byte(idQuery+oneOPT+exampleA+optWith(tt.options)), &q); fault != FaultNone {
			t.Fatalf("%s: %v", tt.name, fault)
		}
		a, fault := q.Asked()
		if fault != tt.fault || len(a.Client) != tt.client || len(a.Server) != tt.server || a.NSID != tt.nsid {
			t.Errorf("%s: %+v, fault %v", tt.name, a, fault)
		}
	}
}

// RFC 7873 §5.4: a query without a question is told from one with two, and from one that cannot be read.
func TestNoQuestion(t *testing.T) {
	const none = "\x00\x00\x00\x00\x00\x00\x00\x01"
	for _, tt := range []struct {
		name, msg   string
		none, asked bool
	}{
		{"with a cookie", idQuery + none + optWith(option(10, 8)), true, true},
		{"with nothing", idQuery + "\x00\x00\x00\x00\x00\x00\x00\x00", true, false},
		{"cut short", idQuery + none + optWith(option(10, 8))[:14], false, false},
		{"two questions", idQuery + "\x00\x02\x00\x00\x00\x00\x00\x01" + exampleA + exampleA + optWith(option(10, 8)), false, true},
		{"two questions, one there", idQuery + "\x00\x02\x00\x00\x00\x00\x00\x01" + exampleA, false, false},
		{"more questions than there can be", idQuery + "\xff\xff\x00\x00\x00\x00\xff\xff" + exampleA + exampleA, false, false},
		{"an answer", idQuery + "\x00\x00\x00\x01\x00\x00\x00\x01" + addressA + opt1232, false, false},
	} {
		var q Query
		fault := ParseQuery([]byte(tt.msg), &q)
		a, _ := q.Asked()
		if fault != FaultCount || q.NoQuestion != tt.none || (a.Client != nil) != tt.asked {
			t.Errorf("%s: %v, %+v", tt.name, fault, q)
		}
	}
}

// What is appended is what another implementation reads.
func TestOptionsOfReplies(t *testing.T) {
	client, server := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, [16]byte{9, 10, 15: 24}
	id := strings.Repeat("n", NSIDBytesMax)
	c := Client{Question: []byte(exampleA), HasOPT: true, Options: AppendNSID(AppendCookie(nil, &client, &server), id), Limit: 512}
	if len(c.Options) > ReplyOptionsMax {
		t.Fatalf("%d bytes of options, ReplyOptionsMax is %d", len(c.Options), ReplyOptionsMax)
	}
	dst := make([]byte, 512)
	answer := Answer{Flags: flagsAnswer, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, Extended: EDEStaleAnswer}
	for name, n := range map[string]int{
		"reply": WriteReply(dst, &c, &answer, 0, 1232),
		"error": WriteError(dst[256:], &c, RCodeRefused, EDEStaleAnswer, 1232),
	} {
		msg := dst[:n]
		if name == "error" {
			msg = dst[256:][:n]
		}
		m := mustUnpack(t, msg)
		options := m.IsEdns0().Option
		if len(options) != 3 {
			t.Fatalf("%s: %v", name, m)
		}
		if got, want := options[0].(*dns.EDNS0_COOKIE).Cookie, hex.EncodeToString(client[:])+hex.EncodeToString(server[:]); got != want {
			t.Errorf("%s: cookie %s, want %s", name, got, want)
		}
		if got := options[1].(*dns.EDNS0_NSID).Nsid; got != hex.EncodeToString([]byte(id)) {
			t.Errorf("%s: NSID %s", name, got)
		}
		if got := options[2].(*dns.EDNS0_EDE).InfoCode; got != EDEStaleAnswer {
			t.Errorf("%s: extended error %d", name, got)
		}
	}
}

// Every reason has a registered code and a text that fits, and is told with both.
func TestReasons(t *testing.T) {
	c := Client{Question: []byte(exampleA), HasOPT: true, Limit: 512}
	dst := make([]byte, ErrorBytesMax)
	for ede := uint16(reasonFirst); ede < reasonEnd; ede++ {
		code, text := told(ede)
		if code >= reasonFirst || text == "" || len(text) > EDETextBytesMax {
			t.Errorf("reason %d: code %d, text %q", ede-reasonFirst, code, text)
		}
		m := mustUnpack(t, dst[:WriteError(dst, &c, RCodeServFail, ede, 1232)])
		e, ok := m.IsEdns0().Option[0].(*dns.EDNS0_EDE)
		if !ok || e.InfoCode != code || e.ExtraText != text {
			t.Errorf("reason %d is told as %v", ede-reasonFirst, m)
		}
	}
	for _, plain := range []uint16{EDEOther, EDEBlocked, reasonEnd, 49152} {
		if code, text := told(plain); code != plain || text != "" {
			t.Errorf("code %d is told as %d %q", plain, code, text)
		}
	}
}

// Every fault that is answered has an extended error.
func TestFaultsHaveReasons(t *testing.T) {
	for f := FaultNone; f < FaultsMax; f++ {
		_, answered := f.RCode()
		if ede := f.EDE(); (ede != EDENone) != answered {
			t.Errorf("%v: extended error %d, answered %v", f, ede, answered)
		}
	}
	if FaultsMax.EDE() != EDENone {
		t.Error("an unknown fault has an extended error")
	}
}
