package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestCut: a reply is cut where RRsets end; TC only tells of what counts.
func TestCut(t *testing.T) {
	text := func(owner string, n int) string { return fmt.Sprintf("%s 60 IN TXT %q", owner, strings.Repeat("x", n)) }
	signature := func(owner, covered string) string {
		return owner + " 60 IN RRSIG " + covered + " 8 2 60 20300101000000 20200101000000 1 example. " + strings.Repeat("A", 160)
	}
	glue := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("ns%d.example. 60 IN A 192.0.2.%d", i, i))
		}
		return list
	}
	soa := "example. 60 IN SOA ns.example. root.example. 1 2 3 4 5"
	for _, c := range []struct {
		name                     string
		answer, authority, extra []string
		do                       bool
		wantAN, wantNS, wantAR   int
		tc                       bool
	}{
		{"one set too large", []string{text("a.example.", 200), text("a.example.", 200), text("a.example.", 200)}, nil, nil, false, 0, 0, 0, true},
		{"alias and a large set", []string{"a.example. 60 IN CNAME b.example.", text("b.example.", 250), text("b.example.", 250)}, nil, nil, false, 1, 0, 0, true},
		{"additional", []string{text("a.example.", 200)}, nil, glue(20), false, 1, 0, 0, false},
		{"sets of the additional", []string{text("a.example.", 200)}, nil, append([]string{"x.example. 60 IN AAAA ::1"}, glue(20)...), false, 1, 0, 1, false},
		{"authority of a positive answer", []string{text("a.example.", 250)}, []string{text("example.", 250), "example. 60 IN NS ns.example."}, glue(5), false, 1, 0, 0, false},
		{"the same for DNSSEC", []string{text("a.example.", 250)}, []string{text("example.", 250), "example. 60 IN NS ns.example."}, glue(5), true, 1, 0, 0, true},
		{"a set and its signature", []string{"a.example. 60 IN CNAME b.example.", signature("a.example.", "CNAME"), text("b.example.", 250), signature("b.example.", "TXT")}, nil, nil, true, 2, 0, 0, true},
		{"negative", nil, []string{soa, signature("example.", "SOA"), signature("example.", "SOA"), signature("example.", "SOA")}, nil, true, 0, 0, 0, true},
		{"glue of a referral", nil, []string{"example. 60 IN NS ns.example."}, append(glue(30), "ns.example. 60 IN AAAA ::1"), false, 0, 1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := new(dns.Msg)
			m.SetQuestion("a.example.", dns.TypeTXT)
			m.Response, m.Compress = true, true
			for i, list := range [][]string{c.answer, c.authority, c.extra} {
				for _, line := range list {
					rr, err := dns.NewRR(line)
					if err != nil {
						t.Fatal(err)
					}
					*[]*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i] = append(*[]*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i], rr)
				}
			}
			msg, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			question := bytes.Clone(msg[HeaderBytes : HeaderBytes+len("\x01a\x07example\x00")+4])
			var a Answer
			if fault := ParseResponse(msg, mustKey(t, string(question)), &a, new(ResponseScratch)); fault != FaultNone {
				t.Fatal(fault)
			}
			client := Client{Question: question, HasOPT: true, DO: c.do, Limit: 512}
			dst := make([]byte, 512)
			got := mustUnpack(t, dst[:WriteReply(dst, &client, &a, 0, 1232)])
			sections := sectionsOf(got)
			if an, ns, ar := len(sections[0]), len(sections[1]), len(sections[2]); an != c.wantAN || ns != c.wantNS || ar != c.wantAR || got.Truncated != c.tc {
				t.Errorf("%d, %d, %d records, TC %v; want %d, %d, %d, %v", an, ns, ar, got.Truncated, c.wantAN, c.wantNS, c.wantAR, c.tc)
			}
			checkCut(t, m, got, a.Negative)
		})
	}
}
