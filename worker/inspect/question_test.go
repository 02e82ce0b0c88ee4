package inspect

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

func TestQuestionBytes(t *testing.T) {
	q := Question{
		Name: []byte("\x01a\x00"), Type: 0x0102, Class: 0x0304, TCP: true, CD: true, Client: netip.MustParseAddr("192.0.2.1"), Pool: []byte("corp"),
		Point: AtResponse, Tags: 5, RCode: 0x0607, TTL: 0x08090A0B, Cut: true, records: []byte("\x01\x00\x04\x00\x3c\x00\x00\x00\xc0\x00\x02\x09"),
	}
	raw := q.Append(nil)
	want := []byte("\x02\x15\x02\x01\x04\x03\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x02\x05\x07\x06\x0b\x0a\x09\x08\x0c\x00\x00\x00\x01a\x00corp\x01\x00\x04\x00\x3c\x00\x00\x00\xc0\x00\x02\x09")
	if !bytes.Equal(raw, want) {
		t.Errorf("got  % x\nwant % x", raw, want)
	}
	for r := range q.Answers {
		if a, ok := r.Addr(); !ok || a.String() != "192.0.2.9" || r.TTL != 60 {
			t.Errorf("record %+v", r)
		}
	}
	q.Pool = bytes.Repeat([]byte("x"), PoolNameMax+1)
	q.Name, q.records = make([]byte, 255), make([]byte, RecordsBytesMax)
	if n := len(q.Append(nil)); n != QuestionBytesMax {
		t.Errorf("the longest question has %d bytes, want %d", n, QuestionBytesMax)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add((&Question{Name: []byte("\x01a\x00"), Type: 1, Class: 1, RD: true, DO: true}).Append(nil))
	f.Add((&Question{Point: AtResponse, Cut: true, Tags: 3, RCode: 3, TTL: 60, records: []byte("\x01\x00\x04\x00\x3c\x00\x00\x00\xc0\x00\x02\x09")}).Append(nil))
	f.Add((&Question{Client: netip.MustParseAddr("2001:db8::1"), Pool: []byte("default")}).Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q, again Question
		if !q.Parse(raw) || len(q.Pool) > PoolNameMax {
			return
		}
		if !again.Parse(q.Append(nil)) || !reflect.DeepEqual(q, again) {
			t.Errorf("%+v becomes %+v", q, again)
		}
		for r := range q.Answers {
			r.Addr()
		}
	})
}

func TestDecode(t *testing.T) {
	for word, want := range map[uint64]Verdict{
		0: {}, 1: {Do: Once}, 0x0502: Refused(), 0x0302: NXDomain(), 2: {Do: Answer}, 3: {Do: Drop}, 0x810000: {Tags: 0x81},
		60 << 48: {TTLMax: 60}, 300<<32 | 0x0502: {Do: Answer, RCode: 5, Keep: Keep{Seconds: 300}},
		1<<32 | 0xF<<24 | 1<<28 | 2<<29 | 3: {Do: Drop, Keep: Keep{Seconds: 1, Labels: 15, AnyType: true, Who: ThisClient}},
	} {
		if v, ok := Decode(word, AtResponse); !ok || v != want || v.word() != word {
			t.Errorf("%#x: got %+v, %t, want %+v", word, v, ok, want)
		}
	}
	for _, word := range []uint64{4, 0xFF, 0x0500, 0x0501, 0x0503, 0x1002, 1 << 63 >> 32, 1 << 24, 1 << 28, 1 << 29, 3<<29 | 1<<32, 60<<48 | 2, 60<<48 | 3} {
		if v, ok := Decode(word, AtResponse); ok {
			t.Errorf("%#x is taken for %+v", word, v)
		}
	}
	if v, ok := Decode(60<<48, AtMiss); ok {
		t.Errorf("a largest TTL at a miss is taken for %+v", v)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint64(0x0502), uint8(2))
	f.Add(uint64(300<<32|1<<28|5<<24), uint8(0))
	f.Fuzz(func(t *testing.T, word uint64, at uint8) {
		if v, ok := Decode(word, Point(at%uint8(Points))); ok && v.word() != word {
			t.Errorf("%#x becomes %+v, which is %#x", word, v, v.word())
		}
	})
}

// TestAnswerIsShown: records with whole names, as many as there is room for.
func TestAnswerIsShown(t *testing.T) {
	m := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
	m.Response, m.Compress = true, true
	for _, text := range []string{"www.example. 60 IN CNAME host.www.example.", "host.www.example. 30 IN A 192.0.2.1", "host.www.example. 30 IN AAAA 2001:db8::1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	show := func() (q Question) {
		t.Helper()
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var parsed wire.Query
		var space [wire.KeyBytesMax]byte
		ask, err := new(dns.Msg).SetQuestion("www.example.", dns.TypeA).Pack()
		if err != nil || wire.ParseQuery(ask, &parsed) != wire.FaultNone {
			t.Fatal(err)
		}
		key := parsed.Key(&space)
		var a wire.Answer
		if f := wire.ParseResponse(raw, key, &a, new(wire.ResponseScratch)); f != wire.FaultNone {
			t.Fatal(f)
		}
		var records [RecordsBytesMax]byte
		q.SetAnswer(&a, wire.KeyQuestion(key), &records)
		if n := testing.AllocsPerRun(10, func() { q.SetAnswer(&a, wire.KeyQuestion(key), &records) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		var again Question
		if !again.Parse(q.Append(nil)) {
			t.Fatal("not well-formed")
		}
		return again
	}
	q := show()
	var got []string
	for r := range q.Answers {
		text := fmt.Sprintf("%d %d %q", r.Type, r.TTL, r.Data)
		if a, ok := r.Addr(); ok {
			text = fmt.Sprintf("%d %d %v", r.Type, r.TTL, a)
		}
		got = append(got, text)
	}
	if want := []string{`5 60 "\x04host\x03www\aexample\x00"`, "1 30 192.0.2.1", "28 30 2001:db8::1"}; !slices.Equal(got, want) || q.Point != AtResponse || q.Cut || q.TTL != 30 {
		t.Errorf("shown %q, %+v", got, q)
	}
	for n := range 300 {
		rr, _ := dns.NewRR(fmt.Sprintf("host.www.example. 30 IN A 192.0.2.%d", n%256))
		m.Answer = append(m.Answer, rr)
	}
	q = show()
	count := 0
	for range q.Answers {
		count++
	}
	if count != 2+1+(RecordsBytesMax-(8+18)-(8+4)-(8+16))/12 || !q.Cut {
		t.Errorf("%d records are shown, cut: %t", count, q.Cut)
	}
}
