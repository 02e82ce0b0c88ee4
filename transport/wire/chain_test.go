package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// belongingOf is what Trim must keep of an answer section, by the oracle's reading.
func belongingOf(m *dns.Msg) (keep []dns.RR, names map[string]bool) {
	names = map[string]bool{strings.ToLower(m.Question[0].Name): true}
	belongs := func(rr dns.RR) bool {
		owner := strings.ToLower(rr.Header().Name)
		if names[owner] {
			return true
		}
		signature, _ := rr.(*dns.RRSIG)
		if rr.Header().Rrtype != dns.TypeDNAME && (signature == nil || signature.TypeCovered != dns.TypeDNAME) {
			return false
		}
		for name := range names {
			if dns.IsSubDomain(owner, name) {
				return true
			}
		}
		return false
	}
	for known := 0; known != len(names); {
		known = len(names)
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && belongs(rr) {
				names[strings.ToLower(c.Target)] = true
			}
		}
	}
	for _, rr := range m.Answer {
		if belongs(rr) {
			keep = append(keep, rr)
		}
	}
	return keep, names
}

// checkTrimmed parses packed, a response to its own question, trims it and holds the reply made from that against the oracle's.
func checkTrimmed(t *testing.T, packed []byte, b *Assembly, scratch *ResponseScratch) (strange bool) {
	t.Helper()
	key := keyOf(packed)
	question := bytes.Clone(KeyQuestion(key))
	before := bytes.Clone(packed)
	var a Answer
	if ParseResponse(packed, key, &a, scratch) != FaultNone {
		return false
	}
	response := new(dns.Msg)
	oracleErr := response.Unpack(inCaseOf(question, before))
	whole := a
	trimmed, strange, ok := b.Trim(&a, key)
	if !ok {
		return true // too long without compression
	}
	c := Client{Question: question, Limit: MessageBytesMax}
	dst := make([]byte, MessageBytesMax)
	written := dst[:WriteReply(dst, &c, trimmed, 0, 1232)]
	if _, _, comparable := oracleRecords(response, 0); oracleErr != nil || !comparable {
		if fault := ParseResponse(written, key, &a, scratch); fault != FaultNone {
			t.Fatalf("our own reply: %v", fault)
		}
		return strange
	}
	reply := mustUnpack(t, written)
	keep, names := belongingOf(response)
	if len(names) > chainNamesMax {
		return strange
	}
	if strange != (len(keep) != len(response.Answer)) {
		t.Fatalf("strangers: %v, but %d of %d records belong in\n%v", strange, len(keep), len(response.Answer), response)
	}
	response.Answer = keep
	checkRecords(t, response, reply, 0)
	if whole.Negative && !trimmed.Negative || trimmed.TTL > whole.TTL {
		t.Fatalf("was negative %v with TTL %d, is negative %v with TTL %d", whole.Negative, whole.TTL, trimmed.Negative, trimmed.TTL)
	}
	if qtype := response.Question[0].Qtype; trimmed.RCode == RCodeNoError && !trimmed.Negative && (qtype < dns.TypeMAILB || qtype > dns.TypeANY) &&
		!slices.ContainsFunc(keep, func(rr dns.RR) bool { return rr.Header().Rrtype == qtype }) {
		t.Fatalf("nothing of the type is left, but it is no negative answer:\n%v", response)
	}
	return strange
}

// TestTrimAgainstOracle: of valid responses with records of all kinds in any order what belongs to the question is kept, as it was.
func TestTrimAgainstOracle(t *testing.T) {
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, seed))
	scratch, b := new(ResponseScratch), new(Assembly)
	strange := 0
	for range 5000 {
		m := randomResponse(t, rng)
		for _, text := range []string{"a.b.c.d.e.f.example.com. 9 IN CNAME f.example.com.", "f.example.com. 9 IN CNAME www.example.com."} {
			if rng.IntN(2) == 0 {
				rr, err := dns.NewRR(text)
				if err != nil {
					t.Fatal(err)
				}
				m.Answer = slices.Insert(m.Answer, rng.IntN(len(m.Answer)+1), rr)
			}
		}
		if checkTrimmed(t, mustPack(t, m), b, scratch) {
			strange++
		}
	}
	if strange < 1000 || strange > 4900 {
		t.Errorf("%d of 5000 responses had strangers: the test shows little", strange)
	}
}

// TestTrim: what becomes of the TTL.
func TestTrim(t *testing.T) {
	stranger := record("\x01x"+toName, "\x00\x01", ttl300, "\xc0\x00\x02\x02")
	foreign := record("\x03net\x00", "\x00\x06", ttl300, "\x00\x00"+strings.Repeat("\x00\x00\x00\x3c", 5))
	for _, tt := range []struct {
		name, msg string
		negative  bool
		ttl       uint32
		records   uint16
	}{
		{"address", answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA, false, 300, 1},
		{"address and a stranger", answerHead(flagsAnswer, 2, 0, 0) + exampleA + addressA + stranger, false, 300, 1},
		{"a stranger alone", answerHead(flagsAnswer, 1, 0, 0) + exampleA + stranger, true, 0, 0},
		{"chain to a stranger", answerHead(flagsAnswer, 2, 0, 0) + exampleA + cnameWWW + stranger, true, 0, 1},
		{"negative", answerHead(nxdomain, 0, 1, 0) + exampleA + soa900, true, 60, 1},
		{"negative by the SOA of another zone", answerHead(nxdomain, 0, 1, 0) + exampleA + foreign, true, 0, 1},
		{"negative with a stranger", answerHead(nxdomain, 1, 1, 0) + exampleA + stranger + soa900, true, 60, 1},
	} {
		var a Answer
		key, b := mustKey(t, exampleA), new(Assembly)
		if fault := ParseResponse([]byte(tt.msg), key, &a, new(ResponseScratch)); fault != FaultNone {
			t.Fatal(tt.name, fault)
		}
		got, _, ok := b.Trim(&a, key)
		if !ok || got.Negative != tt.negative || got.TTL != tt.ttl || got.AN+got.NS != tt.records {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

// TestTrimAllocatesNothing, be there strangers or not.
func TestTrimAllocatesNothing(t *testing.T) {
	msg := answerHead(flagsAnswer, 2, 0, 0) + exampleA + cnameWWW + record("\x01x"+toName, "\x00\x0f", ttl300, "\x00\x0a\x02mx"+toName)
	key, b, scratch, buf := mustKey(t, exampleA), new(Assembly), new(ResponseScratch), make([]byte, len(msg))
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, msg)
		var a Answer
		if ParseResponse(buf, key, &a, scratch) != FaultNone {
			panic("not parsed")
		}
		if _, strange, ok := b.Trim(&a, key); !strange || !ok {
			panic("not trimmed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTrim: whatever a response holds, the reply made from what is left of it can be read, and has what the oracle would keep.
func FuzzTrim(f *testing.F) {
	addResponses(func(s string) { f.Add([]byte(s)) })
	f.Add([]byte(answerHead(flagsAnswer, 2, 0, 0) + exampleA + cnameWWW + record("\x01x"+toName, "\x00\x0f", ttl300, "\x00\x0a\x02mx"+toName)))
	scratch, b := new(ResponseScratch), new(Assembly)
	f.Fuzz(func(t *testing.T, msg []byte) { checkTrimmed(t, msg, b, scratch) })
}

func BenchmarkTrim(b *testing.B) {
	for name, msg := range map[string]string{
		"address": answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA,
		"chain":   answerHead(flagsAnswer, 2, 0, 0) + exampleA + cnameWWW + record("\xc0\x29", "\x00\x01", ttl300, "\xc0\x00\x02\x01"),
	} {
		b.Run(name, func(b *testing.B) {
			var a Answer
			key, assembly := mustKey(b, exampleA), new(Assembly)
			if ParseResponse([]byte(msg), key, &a, new(ResponseScratch)) != FaultNone {
				b.Fatal("not parsed")
			}
			for b.Loop() {
				assembly.Trim(&a, key)
			}
		})
	}
}
