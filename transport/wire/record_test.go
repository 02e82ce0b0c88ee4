package wire

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAppendName: the names of every answer that ParseResponse takes are those that miekg/dns reads, and each record is where it says.
func FuzzAppendName(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("WWW.Example.Com.", dns.TypeA)
	m := new(dns.Msg)
	m.SetReply(q)
	m.Compress = true
	for i, text := range []string{
		"www.example.com. 1 CNAME a.b.example.com.", "A.B.example.com. 2 CNAME example.org.", "example.org. 3 A 192.0.2.1",
		"example.org. 4 NS ns.example.org.", "org. 4 NS ns.example.org.", "ns.example.org. 5 AAAA 2001:db8::1",
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		section := []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i*3/6]
		*section = append(*section, rr)
	}
	m.SetEdns0(1232, false)
	msg, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	var view Query
	query, _ := q.Pack()
	ParseQuery(query, &view)
	key := view.Key(new([KeyBytesMax]byte))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var a Answer
		if ParseResponse(msg, key, &a, new(ResponseScratch)) != FaultNone {
			return
		}
		whole := append(append(make([]byte, HeaderBytes), KeyQuestion(key)...), a.Records...)
		base := len(whole) - len(a.Records)
		end := 0
		for n := range a.Len() {
			r := a.Record(n)
			if r.Owner != end || r.Data > r.End || r.End > len(a.Records) {
				t.Fatalf("record %d is at %+v, the one before ended at %d", n, r, end)
			}
			end = r.End
			offsets := []int{r.Owner}
			if r.Type == TypeCNAME || r.Type == 2 {
				offsets = append(offsets, r.Data)
			}
			for _, off := range offsets {
				want, _, err := dns.UnpackDomainName(whole, base+off)
				if err != nil {
					t.Fatalf("miekg/dns refuses the name at %d: %v", off, err)
				}
				got := a.AppendName(nil, KeyQuestion(key), off)
				text, _, err := dns.UnpackDomainName(got, 0)
				if err != nil || text != lowerASCII(want) {
					t.Fatalf("name at %d: got %q (%v), want %q", off, text, err, want)
				}
			}
		}
		if end != len(a.Records) {
			t.Fatalf("records end at %d of %d", end, len(a.Records))
		}
	})
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
