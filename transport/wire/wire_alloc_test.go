package wire

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// hotPaths are the operations of the data plane, one row each: none may allocate. The benchmarks run the same rows.
func hotPaths(t testing.TB) []struct {
	name string
	run  func()
} {
	query := []byte(idQuery + oneOPT + "\x03www\x07eXample\x03com\x00" + typeAIN + opt1232)
	var q Query
	if fault := ParseQuery(query, &q); fault != FaultNone {
		t.Fatal(fault)
	}
	var keyBuf [KeyBytesMax]byte
	key := q.Key(&keyBuf)
	question := string(KeyQuestion(key))
	// 100 bytes in all with the client's OPT: a chain of one and an address.
	response := []byte(answerHead(flagsAnswer, 2, 0, 1) + question + record(toName, "\x00\x05", ttl300, "\x04edge\xc0\x10") +
		record("\xc0\x2d", "\x00\x01", ttl300, "\xc0\x00\x02\x01") + opt1232)
	original, asReceived := string(response), append([]byte(nil), response...)
	scratch := new(ResponseScratch)
	var a Answer
	if fault := ParseResponse(response, key, &a, scratch); fault != FaultNone {
		t.Fatal(fault)
	}
	client := q.Client(1232)
	asking := Query{HasOPT: true, Options: []byte("\x00\x03\x00\x00\x00\x0a\x00\x18clientidserverserverserv")}
	asker := client
	asker.Options = AppendNSID(AppendCookie(nil, new([8]byte), new([16]byte)), "id")
	subnet := subnetOf("192.0.2.0/24")
	subnetOptions := AppendSubnetOption(nil, &subnet, 0)
	variant := AppendSubnet(bytes.Clone(key), &subnet)
	dst := make([]byte, 4096)
	var set [32]byte
	var restored [QuestionBytesMax]byte
	var again Answer
	return []struct {
		name string
		run  func()
	}{
		{"ParseQuery", func() { ParseQuery(query, &q) }},
		{"Key", func() { q.Key(&keyBuf) }},
		{"Hash", func() { Hash(testSeed, key) }},
		{"CaseBits", func() { CaseBits(q.Question[:q.NameLen], &set) }},
		{"RestoreQuestion", func() { RestoreQuestion(&restored, key, &set) }},
		{"BuildQueryWithVariant", func() { BuildQuery(dst, 1, variant, 1232) }},
		{"ParseSubnet", func() { ParseSubnet(subnetOptions) }},
		{"BuildQuery", func() { BuildQuery(dst, 1, key, 1232) }},
		{"PadQuery", func() { PadQuery(dst, BuildQuery(dst, 1, key, 1232), 128) }},
		{"AskKeepalive", func() { AskKeepalive(dst, PadQuery(dst, BuildQuery(dst, 1, key, 1232), 128), 128) }},
		{"Keepalive", func() { Keepalive(asReceived) }},
		{"ParseResponse", func() { copy(response, original); ParseResponse(response, key, &again, scratch) }},
		{"AgeTTLs", func() { copy(response, original); AgeTTLs(response, 5, 250) }},
		{"WriteReply", func() { WriteReply(dst, &client, &a, 5, 1232) }},
		{"Zone", func() { a.Zone(client.Question[:q.NameLen]) }},
		{"Asked", func() { asking.Asked() }},
		{"WriteReplyWithOptions", func() { WriteReply(dst, &asker, &a, 5, 1232) }},
		{"WriteErrorWithReason", func() { WriteError(dst, &asker, RCodeFormErr, ReasonCount, 1232) }},
		{"WriteReplyFresh", func() { WriteReply(dst, &client, &a, 0, 1232) }},
		{"WriteError", func() { WriteError(dst, &client, RCodeServFail, EDENetworkError, 1232) }},
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	for _, p := range hotPaths(t) {
		if got := testing.AllocsPerRun(100, p.run); got != 0 {
			t.Errorf("%s: %v allocations, want 0", p.name, got)
		}
	}
}

func BenchmarkWire(b *testing.B) {
	for _, p := range hotPaths(b) {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.run()
			}
		})
	}
}

// TestLeavesAreInlined keeps the small functions of the hot path inlinable.
func TestLeavesAreInlined(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	got := map[string]bool{}
	for _, m := range regexp.MustCompile(`can inline (\S+)`).FindAllStringSubmatch(string(out), -1) {
		got[strings.TrimSuffix(m[1], ":")] = true
	}
	for _, want := range []string{
		"Hash", "upperMask", "putHeader", "putOPT", "ageTTLs", "Fault.RCode",
		"(*Query).ReplyLimit", "(*Query).Client", "(*response).removed", "(*response).matches",
	} {
		if !got[want] {
			t.Errorf("%s is not inlinable any more", want)
		}
	}
}
