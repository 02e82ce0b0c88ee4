package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestAgeTTLs(t *testing.T) {
	const whole = 1<<32 - 1
	address := func(ttl string) string {
		return answerHead(flagsAnswer, 1, 0, 1) + exampleA + record(toName, "\x00\x01", ttl, "\xc0\x00\x02\x01") + opt1232DO
	}
	for _, test := range []struct {
		name       string
		msg        string
		age, limit uint32
		want       string // "" = false
	}{
		{"aged", address("\x00\x00\x01\x2c"), 100, whole, address("\x00\x00\x00\xc8")},
		{"older than its TTL", address("\x00\x00\x01\x2c"), 301, whole, address("\x00\x00\x00\x00")},
		{"bounded", address("\x00\x00\x01\x2c"), 0, 60, address("\x00\x00\x00\x3c")},
		{"aged under the bound", address("\x00\x00\x01\x2c"), 299, 60, address("\x00\x00\x00\x01")},
		{"not to be kept", address("\x00\x00\x01\x2c"), 0, 0, address("\x00\x00\x00\x00")},
		{"2^31 and more is long (RFC 8767 §4)", address("\x80\x00\x01\x2c"), 1, whole, address("\x7f\xff\xff\xfe")},
		{
			"every section", answerHead(flagsAnswer, 1, 1, 1) + exampleA + record(toName, "\x00\x01", "\x00\x00\x00\x09", "1234") +
				record(toName, "\x00\x02", "\x00\x00\x00\x08", toName) + record(toName, "\x00\x01", "\x00\x00\x00\x07", "5678"), 5, whole,
			answerHead(flagsAnswer, 1, 1, 1) + exampleA + record(toName, "\x00\x01", "\x00\x00\x00\x04", "1234") +
				record(toName, "\x00\x02", "\x00\x00\x00\x03", toName) + record(toName, "\x00\x01", "\x00\x00\x00\x02", "5678"),
		},
		{
			"negative answer (RFC 2308 §5)", answerHead(nxdomain, 0, 1, 0) + exampleA + soa900, 10, whole,
			answerHead(nxdomain, 0, 1, 0) + exampleA + record(toName, "\x00\x06", "\x00\x00\x00\x32", soaRDATA),
		},
		{"no header", "\x00\x00", 1, whole, ""},
		{"fewer records than announced", answerHead(flagsAnswer, 1, 0, 0) + exampleA, 1, whole, ""},
		{"question cut short", answerHead(flagsAnswer, 0, 0, 0) + exampleA[:len(exampleA)-1], 1, whole, ""},
		{"record cut short", address("\x00\x00\x01\x2c")[:len(address(ttl300))-len(opt1232DO)-1], 1, whole, ""},
		{"reserved label type", answerHead(flagsAnswer, 1, 0, 0) + exampleA + record("\x80", "\x00\x01", ttl300, "1234"), 1, whole, ""},
		{"half a pointer", answerHead(flagsAnswer, 1, 0, 0) + exampleA + "\xc0", 1, whole, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			msg := []byte(test.msg)
			if ok := AgeTTLs(msg, test.age, test.limit); ok != (test.want != "") || ok && string(msg) != test.want {
				t.Errorf("got %v, %q\nwant %q", ok, msg, test.want)
			}
		})
	}
}

// FuzzAgeTTLs: no panic; what it cannot walk has a fault for ParseResponse too; miekg/dns reads the same records with the lower TTLs, and
// nothing else has changed.
func FuzzAgeTTLs(f *testing.F) {
	addResponses(func(msg string) { f.Add([]byte(msg), uint32(100), uint32(250)) })
	f.Fuzz(func(t *testing.T, msg []byte, age, limit uint32) {
		parsed, aged := bytes.Clone(msg), bytes.Clone(msg)
		var a Answer
		fault := ParseResponse(parsed, keyOf(msg), &a, new(ResponseScratch))
		ok := AgeTTLs(aged, age, limit)
		if !ok && fault == FaultNone {
			t.Fatal("not walked, but ParseResponse finds no fault")
		}
		if !ok || fault != FaultNone {
			return
		}
		var b Answer
		ours := bytes.Clone(aged)
		if fault := ParseResponse(ours, keyOf(msg), &b, new(ResponseScratch)); fault != FaultNone {
			t.Fatalf("aged: %v", fault)
		}
		if want := min(a.TTL-min(a.TTL, age), limit); b.TTL > want {
			t.Fatalf("may be kept for %d s, want at most %d", b.TTL, want)
		}
		blank := func(a *Answer) []byte {
			records := bytes.Clone(a.Records)
			for _, off := range a.TTLs {
				clear(records[off : off+4])
			}
			return records
		}
		if !slices.Equal(a.TTLs, b.TTLs) || !bytes.Equal(blank(&a), blank(&b)) {
			t.Fatal("more than TTLs was changed")
		}
		before, after := new(dns.Msg), new(dns.Msg)
		if before.Unpack(msg) != nil {
			return // its view of RDATA is stricter than ours
		}
		if err := after.Unpack(aged); err != nil {
			if _, _, comparable := oracleRecords(before, 0); comparable {
				t.Fatalf("aged: %v", err)
			}
			return
		}
		for i, section := range [][]dns.RR{before.Answer, before.Ns, before.Extra} {
			for j, rr := range section {
				got, want := [][]dns.RR{after.Answer, after.Ns, after.Extra}[i][j].Header().Ttl, rr.Header().Ttl
				if rr.Header().Rrtype != dns.TypeOPT {
					want = min(want, 1<<31-1)
					if soa, ok := rr.(*dns.SOA); ok && i == 1 {
						want = min(want, soa.Minttl)
					}
					want = min(want-min(want, age), limit)
				}
				if got != want {
					t.Fatalf("section %d record %d: TTL %d, want %d", i, j, got, want)
				}
			}
		}
	})
}
