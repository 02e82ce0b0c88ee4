package wire

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAliasAnswer: an answer put behind a CNAME has the same records as before, as miekg/dns reads them.
func FuzzAliasAnswer(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("garden.example.com.", dns.TypeANY)
	m := new(dns.Msg)
	m.SetReply(q)
	m.Compress = true
	for _, text := range []string{
		"garden.example.com. 1 A 192.0.2.1", "garden.example.com. 1 MX 10 mail.garden.example.com.", "garden.example.com. 2 SOA ns.example.com. mail.garden.example.com. 1 2 3 4 5",
		"mail.garden.example.com. 3 SRV 1 2 3 ns.example.com.", "example.com. 4 NS ns.example.com.", `garden.example.com. 5 NAPTR 1 2 "a" "b" "c" ns.example.com.`,
		"garden.example.com. 5 TXT garden", "garden.example.com. 6 RRSIG A 13 2 100 20300101000000 20200101000000 1 example.com. AAAA",
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	msg, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg, "www.example.net", uint32(9))
	f.Add(msg, "a", uint32(0))
	f.Add(msg, strings.Repeat("a.", 120), uint32(0))
	var view Query
	query, _ := q.Pack()
	ParseQuery(query, &view)
	key := view.Key(new([KeyBytesMax]byte))
	f.Fuzz(func(t *testing.T, msg []byte, own string, age uint32) {
		age %= 1000
		var a, out Answer
		var name Query
		asked := new(dns.Msg)
		asked.SetQuestion(dns.Fqdn(own), dns.TypeANY)
		packed, err := asked.Pack()
		if err != nil || ParseQuery(packed, &name) != FaultNone || ParseResponse(msg, key, &a, new(ResponseScratch)) != FaultNone {
			return
		}
		before := parsed(t, KeyQuestion(key), &a)
		records, ttls := make([]byte, MessageBytesMax), make([]uint16, RecordsMax)
		kept := string(a.Records)
		if !AliasAnswer(records, ttls, &a, KeyQuestion(key), name.NameLen, 100, age, &out) {
			return
		}
		if kept != string(a.Records) {
			t.Fatal("the answer was changed")
		}
		after := parsed(t, name.Question, &out)
		if before == nil || after == nil { // what miekg/dns does not read
			return
		}
		want := append([]string{dns.Fqdn(own)}, before...)
		cname, ok := after[0], len(after) > 0
		if !ok || !strings.Contains(cname, "CNAME\tgarden.example.com.") {
			t.Fatalf("it begins with %q", cname)
		}
		if !slices.Equal(after[1:], want[1:]) {
			t.Fatalf("got  %q\nwant %q", after[1:], want[1:])
		}
		if out.AN != a.AN+1 || len(out.TTLs) != len(a.TTLs)+1 {
			t.Fatalf("%d records, %d TTLs, want one more than %d and %d", out.AN, len(out.TTLs), a.AN, len(a.TTLs))
		}
	})
}

// parsed is the records of an answer as miekg/dns reads them; nil if it does not.
func parsed(t *testing.T, question []byte, a *Answer) []string {
	t.Helper()
	var list []string
	msg := append(append(make([]byte, HeaderBytes), question...), a.Records...)
	off := len(msg) - len(a.Records)
	for range a.Len() {
		rr, next, err := dns.UnpackRR(msg, off)
		if err != nil {
			return nil
		}
		list = append(list, rr.String())
		off = next
	}
	return list
}

// TestAliasAnswerWithoutRoom: what does not fit is refused, and so is what pointers could not reach.
func TestAliasAnswerWithoutRoom(t *testing.T) {
	question := []byte("\x01a\x00\x00\x01\x00\x01")
	a := Answer{AN: 1, Records: []byte("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\xc0\x00\x02\x01"), TTLs: []uint16{6}}
	var out Answer
	full := AliasBytes + 3 + len(a.Records)
	for room := range full {
		if AliasAnswer(make([]byte, room), make([]uint16, 2), &a, question, 5, 1, 0, &out) {
			t.Fatalf("%d bytes were enough for %d", room, full)
		}
	}
	if AliasAnswer(make([]byte, full), make([]uint16, 1), &a, question, 5, 1, 0, &out) {
		t.Error("one TTL was enough for two")
	}
	if !AliasAnswer(make([]byte, full), make([]uint16, 2), &a, question, 5, 1, 0, &out) {
		t.Error("there was room")
	}
	a.Records[0], a.Records[1] = 0xFF, 0xF0 // a pointer to the end of its range
	if AliasAnswer(make([]byte, full), make([]uint16, 2), &a, question, 5, 1, 0, &out) {
		t.Error("a pointer beyond 14 bits")
	}
}
