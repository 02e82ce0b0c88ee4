package wire

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// header of a response: flags and counts after one question.
func answerHead(flags, an, ns, ar uint16) string {
	b := []byte("\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(b[2:], flags)
	binary.BigEndian.PutUint16(b[6:], an)
	binary.BigEndian.PutUint16(b[8:], ns)
	binary.BigEndian.PutUint16(b[10:], ar)
	return string(b)
}

const (
	flagsAnswer = 0x8180 // QR, RD, RA
	flagsAD     = 0x81A0
	nxdomain    = 0x8183
	cnameWWW    = toName + "\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03www" + toName // TTL 60; the target starts at 12 into it
)

func record(owner, rrtype, ttl, rdata string) string {
	return owner + rrtype + "\x00\x01" + ttl + string([]byte{byte(len(rdata) >> 8), byte(len(rdata))}) + rdata
}

func TestParseResponse(t *testing.T) {
	tests := []struct {
		name string
		msg  string
		want Answer
	}{
		{
			"one address", answerHead(flagsAD, 1, 0, 0) + exampleA + addressA,
			Answer{Flags: flagsAD, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, TTL: 300},
		},
		{
			"question in another case", answerHead(flagsAnswer, 1, 0, 0) + "\x07EXAMPLE\x03com\x00" + typeAIN + addressA,
			Answer{Flags: flagsAnswer, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, TTL: 300},
		},
		{
			"OPT is removed", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt1232,
			Answer{Flags: flagsAnswer, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, TTL: 300},
		},
		{
			"trailing bytes are cut off", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt1232 + "junk",
			Answer{Flags: flagsAnswer, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}, TTL: 300},
		},
		{
			"chain takes the least TTL", answerHead(flagsAnswer, 2, 0, 0) + exampleA + cnameWWW + record("\xc0\x29", "\x00\x01", ttl300, "\xc0\x00\x02\x01"),
			Answer{
				Flags: flagsAnswer, AN: 2, Records: []byte(cnameWWW + record("\xc0\x29", "\x00\x01", ttl300, "\xc0\x00\x02\x01")),
				TTLs: []uint16{6, 24}, TTL: 60,
			},
		},
		{
			"NODATA takes the SOA minimum", answerHead(flagsAnswer, 0, 1, 0) + exampleA + soa900,
			Answer{Flags: flagsAnswer, NS: 1, Records: []byte(soa900), TTLs: []uint16{6}, TTL: 60, Negative: true},
		},
		{
			"NXDOMAIN takes the SOA minimum", answerHead(nxdomain, 0, 1, 1) + exampleA + soa900 + opt1232,
			Answer{Flags: nxdomain, RCode: RCodeNXDomain, NS: 1, Records: []byte(soa900), TTLs: []uint16{6}, TTL: 60, Negative: true},
		},
		{
			"chain to nothing is NODATA", answerHead(flagsAnswer, 1, 1, 0) + exampleA + cnameWWW + soa900,
			Answer{Flags: flagsAnswer, AN: 1, NS: 1, Records: []byte(cnameWWW + soa900), TTLs: []uint16{6, 24}, TTL: 60, Negative: true},
		},
		{
			"NODATA without SOA is not kept", answerHead(flagsAnswer, 0, 0, 0) + exampleA,
			Answer{Flags: flagsAnswer, Negative: true},
		},
		{
			"NXDOMAIN without SOA is not kept", answerHead(nxdomain, 1, 0, 0) + exampleA + cnameWWW,
			Answer{Flags: nxdomain, RCode: RCodeNXDomain, AN: 1, Records: []byte(cnameWWW), TTLs: []uint16{6}, Negative: true},
		},
		{
			"truncated is not kept", answerHead(flagsAnswer|FlagTC, 1, 0, 0) + exampleA + addressA,
			Answer{Flags: flagsAnswer | FlagTC, AN: 1, Records: []byte(addressA), TTLs: []uint16{6}},
		},
		{
			"SERVFAIL is not kept", answerHead(0x8182, 0, 1, 0) + exampleA + soa900,
			Answer{Flags: 0x8182, RCode: RCodeServFail, NS: 1, Records: []byte(soa900), TTLs: []uint16{6}},
		},
		{
			"extended rcode", answerHead(flagsAnswer, 0, 0, 1) + exampleA + "\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00",
			Answer{Flags: flagsAnswer, RCode: RCodeBadVers},
		},
		{
			"TTL of 2^31 becomes the longest", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x01", "\x80\x00\x00\x00", "\xc0\x00\x02\x01"),
			Answer{Flags: flagsAnswer, AN: 1, Records: []byte(record(toName, "\x00\x01", "\x7f\xff\xff\xff", "\xc0\x00\x02\x01")), TTLs: []uint16{6}, TTL: 1<<31 - 1},
		},
		{
			"TTL of 2^31-1 stays", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x01", "\x7f\xff\xff\xff", "\xc0\x00\x02\x01"),
			Answer{Flags: flagsAnswer, AN: 1, Records: []byte(record(toName, "\x00\x01", "\x7f\xff\xff\xff", "\xc0\x00\x02\x01")), TTLs: []uint16{6}, TTL: 1<<31 - 1},
		},
		{
			"unknown type is opaque", answerHead(flagsAnswer, 2, 0, 0) + exampleA + record(toName, "\xff\x01", ttl300, "\xc0\xff\xc0\x00") + addressA,
			Answer{Flags: flagsAnswer, AN: 2, Records: []byte(record(toName, "\xff\x01", ttl300, "\xc0\xff\xc0\x00") + addressA), TTLs: []uint16{6, 22}, TTL: 300},
		},
		{
			"pointer to a pointer", answerHead(flagsAnswer, 2, 0, 0) + exampleA + addressA + record("\xc0\x1d", "\x00\x01", ttl300, "\xc0\x00\x02\x02"),
			Answer{Flags: flagsAnswer, AN: 2, Records: []byte(addressA + record("\xc0\x1d", "\x00\x01", ttl300, "\xc0\x00\x02\x02")), TTLs: []uint16{6, 22}, TTL: 300},
		},
		{
			"pointer to the root of a name", answerHead(flagsAnswer, 2, 0, 0) + exampleA + addressA + record("\xc0\x18", "\x00\x02", ttl300, "\x00"),
			Answer{Flags: flagsAnswer, AN: 2, Records: []byte(addressA + record("\xc0\x18", "\x00\x02", ttl300, "\x00")), TTLs: []uint16{6, 22}, TTL: 300},
		},
	}
	key := mustKey(t, exampleA)
	scratch := new(ResponseScratch)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Answer
			if fault := ParseResponse([]byte(tt.msg), key, &got, scratch); fault != FaultNone {
				t.Fatalf("fault = %v, want none", fault)
			}
			wantAnswer(t, got, tt.want)
		})
	}
}

func wantAnswer(t *testing.T, got, want Answer) {
	t.Helper()
	if string(got.Records) != string(want.Records) {
		t.Errorf("Records =\n%q, want\n%q", got.Records, want.Records)
	}
	if !slices.Equal(got.TTLs, want.TTLs) {
		t.Errorf("TTLs = %v, want %v", got.TTLs, want.TTLs)
	}
	got.Records, want.Records, got.TTLs, want.TTLs = nil, nil, nil, nil
	if got.Flags != want.Flags || got.AN != want.AN || got.NS != want.NS || got.AR != want.AR ||
		got.TTL != want.TTL || got.Negative != want.Negative || got.RCode != want.RCode {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestOPTInTheMiddle removes an OPT before two glue records, one of which points at the other's name and both at names before the OPT.
func TestOPTInTheMiddle(t *testing.T) {
	ns := record(toName, "\x00\x02", ttl300, "\x02ns"+toName) // its RDATA starts at 29+12 = 41
	// Offsets in the message as received: ns 29..46, OPT 46..57, glue 57.., whose owner's label "glue" is at 57.
	first := record("\x04glue\xc0\x29", "\x00\x01", ttl300, "\xc0\x00\x02\x01")  // 57..78
	second := record("\xc0\x39", "\x00\x1c", ttl300, strings.Repeat("\x20", 16)) // 78..106: points to 57
	third := record("\xc0\x29", "\x00\x0f", ttl300, "\x00\x0a\x02mx\xc0\x39")    // 106..: RDATA points to 57
	msg := answerHead(flagsAnswer, 0, 1, 4) + exampleA + ns + opt1232 + first + second + third

	wantFirst := first // points before the OPT: unchanged
	wantSecond := strings.Replace(second, "\xc0\x39", "\xc0\x2e", 1)
	wantThird := strings.Replace(third, "\xc0\x39", "\xc0\x2e", 1)
	want := Answer{
		Flags: flagsAnswer, NS: 1, AR: 3, Records: []byte(ns + wantFirst + wantSecond + wantThird),
		TTLs: []uint16{6, 17 + 11, 38 + 6, 66 + 6}, Negative: true,
	}
	var got Answer
	if fault := ParseResponse([]byte(msg), mustKey(t, exampleA), &got, new(ResponseScratch)); fault != FaultNone {
		t.Fatal(fault)
	}
	wantAnswer(t, got, want)
}

// malformedResponses is every way a response to exampleA can be wrong, by defect.
var malformedResponses = []struct {
	defect string
	msg    string
	want   Fault
}{
	{"empty", "", FaultShort},
	{"header cut short", "\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00", FaultShort},
	{"is a query", idQuery + one + exampleA, FaultQuery},
	{"opcode NOTIFY", "\x12\x34\xa1\x80" + one + exampleA, FaultOpcode},
	{"header only, as some refuse", "\x12\x34\x81\x85\x00\x00\x00\x00\x00\x00\x00\x00", FaultCount},
	{"two questions", "\x12\x34\x81\x80\x00\x02\x00\x00\x00\x00\x00\x00" + exampleA + exampleA, FaultCount},
	{"another name", idAnswer + one + "\x07exbmple\x03com\x00" + typeAIN, FaultQuestion},
	{"another label boundary", idAnswer + one + "\x0bexample\x03com\x00" + typeAIN, FaultQuestion},
	{"another type", idAnswer + one + "\x07example\x03com\x00\x00\x1c\x00\x01", FaultQuestion},
	{"another class", idAnswer + one + "\x07example\x03com\x00\x00\x01\x00\x03", FaultQuestion},
	{"question cut short", idAnswer + one + exampleA[:len(exampleA)-1], FaultQuestion},
	{"counted answer is missing", answerHead(flagsAnswer, 1, 0, 0) + exampleA, FaultRecord},
	{"counts beyond any message", answerHead(flagsAnswer, 0xFFFF, 0xFFFF, 0xFFFF) + exampleA + addressA, FaultRecord},
	{"owner cut short", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xc0", FaultRecord},
	{"owner without root", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\x01a", FaultRecord},
	{"owner points to itself", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xc0\x1d" + addressA[2:], FaultRecord},
	{"owner points forward", answerHead(flagsAnswer, 2, 0, 0) + exampleA + "\xc0\x2d" + addressA[2:] + addressA, FaultRecord},
	{"owner points into header", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xc0\x00" + addressA[2:], FaultRecord},
	{"owner points between labels", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xc0\x0d" + addressA[2:], FaultRecord},
	{"owner points to a TTL", answerHead(flagsAnswer, 2, 0, 0) + exampleA + addressA + "\xc0\x23" + addressA[2:], FaultRecord},
	{"owner points into opaque RDATA", answerHead(flagsAnswer, 2, 0, 0) + exampleA + record(toName, "\xff\x01", ttl300, "\x01a\x00") + "\xc0\x29" + addressA[2:], FaultRecord},
	{"owner points beyond the message", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xff\xff" + addressA[2:], FaultRecord},
	{"owner loops through its own label", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\x01a\xc0\x1d" + addressA[2:], FaultRecord},
	{"owner of label type 01", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\x41a\x00" + addressA[2:], FaultRecord},
	{"owner of label type 10", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\x81a\x00" + addressA[2:], FaultRecord},
	{"owner of 256 bytes", answerHead(flagsAnswer, 1, 0, 0) + exampleA + longName(256) + addressA[2:], FaultRecord},
	{"owner of 256 bytes through a pointer", answerHead(flagsAnswer, 1, 0, 0) + exampleA + strings.TrimSuffix(longName(244), "\x00") + addressA, FaultRecord},
	{"fixed part cut short", answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA[:11], FaultRecord},
	{"RDLENGTH overruns message", answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA[:15], FaultRecord},
	{"CNAME RDATA longer than its name", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x05", ttl300, toName+"x"), FaultRecord},
	{"CNAME name longer than its RDATA", answerHead(flagsAnswer, 2, 0, 0) + exampleA + record(toName, "\x00\x05", ttl300, "\x03ww") + addressA, FaultRecord},
	{"CNAME without RDATA", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x05", ttl300, ""), FaultRecord},
	{"CNAME that points to itself", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x05", ttl300, "\xc0\x29"), FaultRecord},
	{"MX without name", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x0f", ttl300, "\x00\x0a"), FaultRecord},
	{"SOA without numbers", answerHead(flagsAnswer, 0, 1, 0) + exampleA + record(toName, "\x00\x06", ttl300, toName+toName), FaultRecord},
	{"NAPTR string overruns", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x23", ttl300, "\x00\x0a\x00\x0a\x01S\xffx"), FaultRecord},
	{"OPT cut short", answerHead(flagsAnswer, 0, 0, 1) + exampleA + opt1232[:10], FaultRecord},
	{"OPT among the answers", answerHead(flagsAnswer, 1, 0, 0) + exampleA + opt1232, FaultOPT},
	{"two OPTs", answerHead(flagsAnswer, 0, 0, 2) + exampleA + opt1232 + opt1232, FaultOPT},
	{"OPT not owned by the root", answerHead(flagsAnswer, 0, 0, 1) + exampleA + toName + opt1232[1:], FaultOPT},
	{"option overruns OPT", answerHead(flagsAnswer, 0, 0, 1) + exampleA + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x01", FaultOPT},
	{"owner points to a removed OPT", answerHead(flagsAnswer, 0, 0, 2) + exampleA + opt1232 + "\xc0\x1d" + addressA[2:], FaultRecord},
	{"TSIG", answerHead(flagsAnswer, 0, 0, 1) + exampleA + "\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00", FaultSigned},
}

func TestParseResponseMalformed(t *testing.T) {
	key := mustKey(t, exampleA)
	scratch := new(ResponseScratch)
	for i := range scratch.names { // what an earlier, longer message left behind must not matter
		scratch.names[i] = 1
	}
	for _, tt := range malformedResponses {
		var a Answer
		if got := ParseResponse([]byte(tt.msg), key, &a, scratch); got != tt.want {
			t.Errorf("%s: fault = %v, want %v", tt.defect, got, tt.want)
		}
	}
	var a Answer
	if got := ParseResponse(make([]byte, MessageBytesMax+1), key, &a, scratch); got != FaultRecord {
		t.Errorf("longer than any message: fault = %v, want %v", got, FaultRecord)
	}
}

// TestPointerChain: 126 pointers in a row are read, 127 are not.
func TestPointerChain(t *testing.T) {
	key := mustKey(t, exampleA)
	for _, tt := range []struct {
		hops int
		want Fault
	}{{pointerHopsMax, FaultNone}, {pointerHopsMax + 1, FaultRecord}} {
		msg := []byte(answerHead(flagsAnswer, uint16(tt.hops), 0, 0) + exampleA)
		target := HeaderBytes
		for range tt.hops {
			at := len(msg)
			msg = append(msg, 0xC0|byte(target>>8), byte(target))
			msg = append(msg, addressA[2:]...)
			target = at
		}
		var a Answer
		if got := ParseResponse(msg, key, &a, new(ResponseScratch)); got != tt.want {
			t.Errorf("%d hops: fault = %v, want %v", tt.hops, got, tt.want)
		}
	}
}

// TestMostRecords fills the largest message with the smallest records: the TTL list must hold them all.
func TestMostRecords(t *testing.T) {
	const root = "\x00" + typeAIN
	count := (MessageBytesMax - HeaderBytes - len(root)) / recordBytesMin
	msg := answerHead(flagsAnswer, uint16(count), 0, 0) + root + strings.Repeat("\x00"+typeAIN+ttl300+"\x00\x00", count)
	var a Answer
	if fault := ParseResponse([]byte(msg), mustKey(t, root), &a, new(ResponseScratch)); fault != FaultNone {
		t.Fatal(fault)
	}
	if len(a.TTLs) != recordsMax || int(a.AN) != recordsMax {
		t.Errorf("%d TTLs, AN %d, want %d", len(a.TTLs), a.AN, recordsMax)
	}
}
