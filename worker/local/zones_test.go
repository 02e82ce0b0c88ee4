package local

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

// written is what a client gets to see of an answer.
func written(t *testing.T, a *wire.Answer, qname string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(qname, qtype)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var view wire.Query
	if fault := wire.ParseQuery(msg, &view); fault != wire.FaultNone {
		t.Fatal(fault)
	}
	client := view.Client(wire.MessageBytesMax)
	buf := make([]byte, wire.MessageBytesMax)
	m := new(dns.Msg)
	if err := m.Unpack(buf[:wire.WriteReply(buf, &client, a, 0, 1232)]); err != nil {
		t.Fatalf("%s: %v", qname, err)
	}
	return m
}

// TestEveryZoneIsWellFormed: what each zone answers, at its top and below, parses and has the SOA of the zone.
func TestEveryZoneIsWellFormed(t *testing.T) {
	table, err := New(&Spec{Localhost: true, PrivateReverse: true, ResolverARPA: true, ApplicationDNS: true, Nonexistent: [][]byte{name("invalid.")}})
	if err != nil {
		t.Fatal(err)
	}
	if want := 4 + len(privateReverse()); len(table.zones) != want {
		t.Errorf("%d zones, want %d", len(table.zones), want)
	}
	for _, z := range table.zones {
		top, _, err := dns.UnpackDomainName(z.name, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, qname := range []string{top, "x." + top} {
			m := written(t, table.Answer(name(qname), dns.TypeTXT, false), qname, dns.TypeTXT)
			if len(m.Answer) != 0 || len(m.Ns) != 1 || m.Ns[0].Header().Name != top || m.Ns[0].Header().Rrtype != dns.TypeSOA {
				t.Errorf("%s: got %v", qname, m)
			}
		}
		if table.Answer(name("x."+top), dns.TypeTXT, true) != nil {
			t.Errorf("%s is answered though a pool claims it", top)
		}
	}
	for _, qname := range []string{"example.", "arpa.", "11.in-addr.arpa.", "15.172.in-addr.arpa.", "32.172.in-addr.arpa.", "63.100.in-addr.arpa.", "128.100.in-addr.arpa.", "e.f.ip6.arpa.", "."} {
		if table.Answer(name(qname), dns.TypePTR, false) != nil {
			t.Errorf("%s is answered", qname)
		}
	}
}

// TestZeroSpecAnswersNothing: whatever is answered has been asked for.
func TestZeroSpecAnswersNothing(t *testing.T) {
	table, err := New(&Spec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, qname := range []string{"localhost.", "invalid.", "1.10.in-addr.arpa.", "resolver.arpa.", "use-application-dns.net.", "version.bind.", "id.server."} {
		if table.Answer(name(qname), dns.TypeANY, false) != nil || table.Chaos(name(qname), dns.TypeTXT) != nil {
			t.Errorf("%s is answered", qname)
		}
	}
}

func TestRefusedSpecs(t *testing.T) {
	var many [][]byte
	for i := range ZonesMax + 1 {
		many = append(many, name("n"+strings.Repeat("x", i%60)+string(rune('a'+i/60))+"."))
	}
	for what, s := range map[string]*Spec{
		"twice": {Nonexistent: [][]byte{name("a."), name("a.")}},
		"text":  {Version: strings.Repeat("x", TextBytesMax+1)},
		"name":  {Nonexistent: [][]byte{{5, 'a'}}},
		"many":  {Nonexistent: many},
	} {
		if _, err := New(s); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	table, err := New(&Spec{Localhost: true, PrivateReverse: true, Any: AnyHINFO, ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	names := [][]byte{name("1.2.3.10.in-addr.arpa."), name("www.example.com."), name("localhost."), name("id.server.")}
	if n := testing.AllocsPerRun(100, func() {
		for _, n := range names {
			table.Answer(n, dns.TypeA, false)
			table.Answer(n, dns.TypeANY, false)
			table.Chaos(n, dns.TypeTXT)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
