package rpz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

// TestAllocatesNothing: neither a query, nor an answer, nor a reply.
func TestAllocatesNothing(t *testing.T) {
	s := setOf(t, zoneOf(t, draftZone), million(t, 1000))
	sc := new(Scratch)
	var a, out wire.Answer
	q := asked{name: "www.example.net", qtype: dns.TypeA, answer: "www.example.net. 300 CNAME a.example.net.\na.example.net. 200 A 192.0.2.7\n--\nexample.net. 300 NS a.ns.\n--\na.ns. 1 A 192.0.2.1"}
	question := wire.KeyQuestion(questionOf(t, q, &a))
	name, asker := packed(t, q.name), Asker{Client: netip.MustParseAddr("203.0.113.1")}
	if n := testing.AllocsPerRun(100, func() {
		sc.Name.Set(name)
		s.Query(&sc.Name, &asker)
		v := s.Judge(sc, question, &asker, &a)
		if v.Match.Action != NXDomain {
			t.Fatal(v)
		}
		s.Reply(sc, v.Match, dns.TypeA, 3, &out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkQuery looks names up in a zone of a million QNAME triggers, half of them wildcards: names that have one, names below a wildcard, and
// names that have none. Names change from query to query, so that the table's lines are not in the processor's cache.
func BenchmarkQuery(b *testing.B) {
	s := setOf(b, million(b, 1_000_000))
	sc := new(Scratch)
	for what, make := range map[string]func(i int) []byte{
		"hit":      func(i int) []byte { return feedName(2*i*7919%1_000_000, false) },
		"wildcard": func(i int) []byte { return append([]byte("\x03www"), feedName((2*i*7919+1)%1_000_000, false)...) },
		"miss":     func(i int) []byte { return []byte(fmt.Sprintf("\x03www\x0eexample-%06d\x03net\x00", i)) },
	} {
		b.Run(what, func(b *testing.B) {
			list := [1 << 18][]byte{}
			for i := range list {
				list[i] = make(i)
				if what != "miss" {
					list[i] = append(list[i][:len(list[i])-10], 0) // without the origin
				}
			}
			asker, found := Asker{}, 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				sc.Name.Set(list[i%len(list)])
				if s.Query(&sc.Name, &asker).Match.Action != None {
					found++
				}
			}
			if (found == 0) != (what == "miss") {
				b.Errorf("%d found", found)
			}
		})
	}
}

// BenchmarkJudge judges an answer of one address in a set that has a million names and 100,000 prefixes.
func BenchmarkJudge(b *testing.B) {
	prefixes := builderOf(b, "")
	for i := range 100_000 {
		owner := packed(b, fmt.Sprintf("32.%d.%d.%d.10.rpz-ip.rpz.test.", i&255, i>>8&255, i>>16))
		if err := prefixes.Add(owner, dns.TypeCNAME, 300, []byte{0}); err != nil {
			b.Fatal(err)
		}
	}
	z, err := prefixes.Zone()
	if err != nil {
		b.Fatal(err)
	}
	s, sc := setOf(b, million(b, 1_000_000), z), new(Scratch)
	var a wire.Answer
	question := wire.KeyQuestion(questionOf(b, asked{name: "www.example.net", qtype: dns.TypeA, answer: "www.example.net. 300 A 203.0.113.9"}, &a))
	name, asker := packed(b, "www.example.net"), Asker{}
	b.ReportAllocs()
	for b.Loop() {
		sc.Name.Set(name)
		if s.Judge(sc, question, &asker, &a).Match.Action != None {
			b.Fatal("found")
		}
	}
}

// BenchmarkJudgeHostile judges answers of 64 KiB that are made to take long: CNAMEs that lead nowhere, and name servers whose addresses all have a trigger.
func BenchmarkJudgeHostile(b *testing.B) {
	var aliases, servers strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&aliases, "a%d.example.net. 1 CNAME b.example.net.\n", i)
	}
	servers.WriteString("--\n")
	for i := range 1200 {
		fmt.Fprintf(&servers, "example.net. 1 NS n%d.example.net.\n", i)
	}
	servers.WriteString("--\n")
	for i := range 1200 {
		fmt.Fprintf(&servers, "x%d.example.net. 1 A 192.0.2.1\n", i)
	}
	s, sc := setOf(b, zoneOf(b, draftZone+"24.0.2.0.192.rpz-nsip CNAME .")), new(Scratch)
	for what, answer := range map[string]string{"aliases": aliases.String(), "servers": servers.String()} {
		b.Run(what, func(b *testing.B) {
			var a wire.Answer
			question := wire.KeyQuestion(questionOf(b, asked{name: "www.example.net", qtype: dns.TypeA, answer: answer}, &a))
			name, asker := packed(b, "www.example.net"), Asker{}
			for b.Loop() {
				sc.Name.Set(name)
				if s.Judge(sc, question, &asker, &a).Match.Action != None {
					b.Fatal("found")
				}
			}
		})
	}
}

// BenchmarkBuild makes a zone of 100,000 triggers, and changes ten of them.
func BenchmarkBuild(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			million(b, 100_000)
		}
	})
	b.Run("edit", func(b *testing.B) {
		z := million(b, 100_000)
		for b.Loop() {
			e := z.Edit()
			for i := range 10 {
				if err := e.Remove(feedName(2*i, false), dns.TypeCNAME, []byte{0}); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := e.Zone(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
