package wire

import (
	"bytes"
	"testing"
)

func TestParseQuery(t *testing.T) {
	tests := []struct {
		name string
		msg  string
		want Query
	}{
		{
			"plain", idQuery + one + exampleA,
			Query{ID: 0x1234, Flags: FlagRD, Question: []byte(exampleA), NameLen: 13, Type: 1, Class: 1},
		},
		{
			"root", idQuery + one + "\x00\x00\x02\x00\x01",
			Query{ID: 0x1234, Flags: FlagRD, Question: []byte("\x00\x00\x02\x00\x01"), NameLen: 1, Type: 2, Class: 1},
		},
		{
			"EDNS with DO", idQuery + oneOPT + exampleA + opt1232DO,
			Query{
				ID: 0x1234, Flags: FlagRD, Question: []byte(exampleA), NameLen: 13, Type: 1, Class: 1,
				HasOPT: true, DO: true, UDPSize: 1232, Options: []byte{},
			},
		},
		{
			"EDNS cookie option", idQuery + oneOPT + exampleA + "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x0812345678",
			Query{
				ID: 0x1234, Flags: FlagRD, Question: []byte(exampleA), NameLen: 13, Type: 1, Class: 1,
				HasOPT: true, UDPSize: 4096, Options: []byte("\x00\x0a\x00\x0812345678"),
			},
		},
		{
			"OPT after an unknown record", idQuery + "\x00\x01\x00\x00\x00\x00\x00\x02" + exampleA +
				toName + "\xff\x00\x00\x01\x00\x00\x00\x00\x00\x01x" + opt1232,
			Query{
				ID: 0x1234, Flags: FlagRD, Question: []byte(exampleA), NameLen: 13, Type: 1, Class: 1,
				HasOPT: true, UDPSize: 1232, Options: []byte{},
			},
		},
		{
			"trailing bytes are ignored", idQuery + one + exampleA + "padding",
			Query{ID: 0x1234, Flags: FlagRD, Question: []byte(exampleA), NameLen: 13, Type: 1, Class: 1},
		},
		{
			"name of 255 bytes", idQuery + one + longName(255) + "\x00\x1c\x00\x01",
			Query{ID: 0x1234, Flags: FlagRD, Question: []byte(longName(255) + "\x00\x1c\x00\x01"), NameLen: 255, Type: 28, Class: 1},
		},
		{
			"label of 63 bytes", idQuery + one + longName(65) + typeAIN,
			Query{ID: 0x1234, Flags: FlagRD, Question: []byte(longName(65) + typeAIN), NameLen: 65, Type: 1, Class: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q Query
			if fault := ParseQuery([]byte(tt.msg), &q); fault != FaultNone {
				t.Fatalf("fault = %v, want none", fault)
			}
			if !bytes.Equal(q.Question, tt.want.Question) || !bytes.Equal(q.Options, tt.want.Options) {
				t.Errorf("Question, Options = %q, %q, want %q, %q", q.Question, q.Options, tt.want.Question, tt.want.Options)
			}
			got, want := q, tt.want
			got.Question, want.Question, got.Options, want.Options = nil, nil, nil, nil
			if !equalQuery(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestOtherOpcodes: of a NOTIFY and an UPDATE, whose layout is known, question and OPT are read, past the records in between; of others nothing is.
func TestOtherOpcodes(t *testing.T) {
	const soa = toName + "\x00\x06\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, tt := range []struct {
		name, msg string
		question  string
		opt       bool
	}{
		{"NOTIFY with an SOA and an OPT", "\x12\x34\x24\x00\x00\x01\x00\x01\x00\x00\x00\x01" + exampleA + soa + opt1232, exampleA, true},
		{"UPDATE with two updates", "\x12\x34\x28\x00\x00\x01\x00\x00\x00\x02\x00\x01" + exampleA + soa + soa + opt1232, exampleA, true},
		{"UPDATE cut short", "\x12\x34\x28\x00\x00\x01\x00\x00\x00\x02\x00\x01" + exampleA + soa, exampleA, false},
		{"UPDATE of two zones", "\x12\x34\x28\x00\x00\x02\x00\x00\x00\x00\x00\x00" + exampleA + exampleA, "", false},
		{"STATUS", "\x12\x34\x10\x00\x00\x01\x00\x00\x00\x00\x00\x01" + exampleA + opt1232, "", false},
	} {
		var q Query
		if fault := ParseQuery([]byte(tt.msg), &q); fault != FaultOpcode || string(q.Question) != tt.question || q.HasOPT != tt.opt {
			t.Errorf("%s: got %v, question %q, OPT %v", tt.name, fault, q.Question, q.HasOPT)
		}
	}
}

func equalQuery(a, b Query) bool {
	return a.ID == b.ID && a.Flags == b.Flags && a.NameLen == b.NameLen && a.Type == b.Type && a.Class == b.Class &&
		a.HasOPT == b.HasOPT && a.DO == b.DO && a.Version == b.Version && a.UDPSize == b.UDPSize
}

// malformedQueries is every way a query can be wrong, by defect. It is also the fuzzer's corpus.
var malformedQueries = []struct {
	defect string
	msg    string
	want   Fault
}{
	{"empty", "", FaultShort},
	{"header cut short", "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00", FaultShort},
	{"is a response", idAnswer + one + exampleA, FaultResponse},
	{"is a response with another fault", idAnswer + "\x00\x00\x00\x00\x00\x00\x00\x00", FaultResponse},
	{"opcode STATUS", "\x12\x34\x10\x00" + one + exampleA, FaultOpcode},
	{"opcode UPDATE", "\x12\x34\x28\x00" + one + exampleA, FaultOpcode},
	{"no question", idQuery + "\x00\x00\x00\x00\x00\x00\x00\x00", FaultCount},
	{"no question but OPT", idQuery + "\x00\x00\x00\x00\x00\x00\x00\x01" + opt1232, FaultCount},
	{"two questions", idQuery + "\x00\x02\x00\x00\x00\x00\x00\x00" + exampleA + exampleA, FaultCount},
	{"has an answer", idQuery + "\x00\x01\x00\x01\x00\x00\x00\x00" + exampleA + addressA, FaultCount},
	{"has authority", idQuery + "\x00\x01\x00\x00\x00\x01\x00\x00" + exampleA + soa900, FaultCount},
	{"counted question is missing", idQuery + one, FaultName},
	{"name without root", idQuery + one + "\x07example", FaultName},
	{"label overruns message", idQuery + one + "\x3fexample\x00\x00\x01\x00\x01", FaultName},
	{"name points to itself", idQuery + one + toName + typeAIN, FaultName},
	{"name points into header", idQuery + one + "\x03www\xc0\x00" + typeAIN, FaultName},
	{"label type 01", idQuery + one + "\x41a\x00" + typeAIN, FaultName},
	{"label type 10", idQuery + one + "\x81a\x00" + typeAIN, FaultName},
	{"name of 256 bytes", idQuery + one + longName(256) + typeAIN, FaultName},
	{"type cut short", idQuery + one + "\x07example\x03com\x00\x00", FaultName},
	{"class cut short", idQuery + one + "\x07example\x03com\x00\x00\x01\x00", FaultName},
	{"counted additional is missing", idQuery + oneOPT + exampleA, FaultRecord},
	{"OPT cut short", idQuery + oneOPT + exampleA + opt1232[:10], FaultRecord},
	{"OPT RDLENGTH overruns message", idQuery + oneOPT + exampleA + opt1232[:10] + "\x01", FaultRecord},
	{"additional owner points to itself", idQuery + oneOPT + exampleA + "\xc0\x1d\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00", FaultRecord},
	{"additional owner points into header", idQuery + oneOPT + exampleA + "\xc0\x04\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00", FaultRecord},
	{"additional owner of label type 01", idQuery + oneOPT + exampleA + "\x41a\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00", FaultRecord},
	{"two OPTs", idQuery + "\x00\x01\x00\x00\x00\x00\x00\x02" + exampleA + opt1232 + opt1232, FaultOPT},
	{"OPT not owned by the root", idQuery + oneOPT + exampleA + "\x01a" + opt1232, FaultOPT},
	{"OPT owned through a pointer", idQuery + oneOPT + exampleA + toName + opt1232[1:], FaultOPT},
	{"option overruns OPT", idQuery + oneOPT + exampleA + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x02x", FaultOPT},
	{"option header cut short", idQuery + oneOPT + exampleA + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x03\x00\x0a\x00", FaultOPT},
	{"EDNS version 1", idQuery + oneOPT + exampleA + "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00", FaultVersion},
	{"TSIG", idQuery + oneOPT + exampleA + "\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00", FaultSigned},
	{"type OPT asked", idQuery + one + "\x00\x00\x29\x00\x01", FaultType},
	{"zone transfer asked", idQuery + one + "\x07example\x03com\x00\x00\xfc\x00\x01", FaultType},
}

func TestParseQueryMalformed(t *testing.T) {
	seen := map[Fault]bool{}
	for _, tt := range malformedQueries {
		var q Query
		if got := ParseQuery([]byte(tt.msg), &q); got != tt.want {
			t.Errorf("%s: fault = %v, want %v", tt.defect, got, tt.want)
		}
		if len(tt.msg) >= HeaderBytes && q.ID != 0x1234 {
			t.Errorf("%s: ID = %#x, want 0x1234: the error answer needs it", tt.defect, q.ID)
		}
		seen[tt.want] = true
	}
	for f := FaultNone + 1; f < FaultsMax; f++ {
		if _, answered := f.RCode(); answered && !seen[f] && f != FaultCookie && f != FaultSubnet { // those: TestAsked, TestParseSubnet
			t.Errorf("no malformed query for %v", f)
		}
	}
}

func TestReplyLimit(t *testing.T) {
	tests := []struct {
		name          string
		announced, us uint16
		want          int
	}{
		{"no OPT", 0, 1232, 512},
		{"less than the minimum", 100, 1232, 512},
		{"theirs is smaller", 1000, 1232, 1000},
		{"ours is smaller", 4096, 1232, 1232},
	}
	for _, tt := range tests {
		q := Query{UDPSize: tt.announced}
		if got := q.ReplyLimit(tt.us); got != tt.want {
			t.Errorf("%s: ReplyLimit = %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestFaultRCode(t *testing.T) {
	want := map[Fault]uint16{
		FaultOpcode: RCodeNotImp, FaultType: RCodeNotImp, FaultCount: RCodeFormErr, FaultName: RCodeFormErr, FaultRecord: RCodeFormErr,
		FaultOPT: RCodeFormErr, FaultVersion: RCodeBadVers, FaultSigned: RCodeNotAuth, FaultCookie: RCodeFormErr, FaultSubnet: RCodeFormErr,
	}
	for f := FaultNone; f < FaultsMax; f++ {
		rcode, answer := f.RCode()
		if wantRCode, wantAnswer := want[f]; rcode != wantRCode || answer != wantAnswer {
			t.Errorf("%v.RCode() = %d, %v, want %d, %v", f, rcode, answer, wantRCode, wantAnswer)
		}
		if f.String() == "" {
			t.Errorf("fault %d has no name", f)
		}
	}
	if got := FaultsMax.String(); got != "unknown" {
		t.Errorf("FaultsMax.String() = %q", got)
	}
}
