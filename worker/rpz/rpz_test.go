package rpz

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

// packed is a name in wire form, lower case.
func packed(t testing.TB, name string) []byte {
	t.Helper()
	buf := make([]byte, 512)
	n, err := dns.PackDomainName(strings.ToLower(dns.Fqdn(name)), buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return buf[:n]
}

// fields takes a record apart as a Builder wants it.
func fields(t testing.TB, rr dns.RR) (owner []byte, rrtype uint16, ttl uint32, data []byte) {
	t.Helper()
	buf := make([]byte, 65535)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	owner = packed(t, rr.Header().Name)
	return owner, rr.Header().Rrtype, rr.Header().Ttl, buf[len(owner)+10 : end]
}

const soaLine = "@ 300 SOA ns.rpz.test. hostmaster.rpz.test. 7 3600 600 86400 60\n"

// zoneOf compiles the text of a zone rpz.test, whose SOA it adds.
func zoneOf(t testing.TB, text string) *Zone {
	t.Helper()
	z, err := builderOf(t, text).Zone()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func builderOf(t testing.TB, text string) *Builder {
	t.Helper()
	b := NewBuilder(packed(t, "rpz.test."))
	p := dns.NewZoneParser(strings.NewReader("$TTL 120\n"+soaLine+text), "rpz.test.", "test")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if err := b.Add(fields(t, rr)); err != nil {
			t.Fatalf("%s: %v", rr, err)
		}
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return b
}

// setOf is the zones in order, as given.
func setOf(t testing.TB, zones ...*Zone) *Set {
	t.Helper()
	var policies []Policy
	for i, z := range zones {
		policies = append(policies, Policy{Name: fmt.Sprint(i), Tag: i, Zone: z, BreakDNSSEC: true})
	}
	s, err := NewSet(policies)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asked is a query with, where it got so far, the answer of an upstream.
type asked struct {
	name   string
	qtype  uint16
	client string
	do     bool
	answer string // records of the answer section, then after a line "--" the authority section, then the additional section
	rcode  int
}

// told is what came of it, in words.
func told(t testing.TB, s *Set, q asked) string {
	t.Helper()
	sc := new(Scratch)
	name := packed(t, q.name)
	if !sc.Name.Set(name) {
		t.Fatalf("%q is no name", q.name)
	}
	if q.qtype == 0 {
		q.qtype = dns.TypeA
	}
	asker := Asker{DO: q.do}
	if q.client != "" {
		asker.Client = netip.MustParseAddr(q.client)
	}
	v := s.Query(&sc.Name, &asker)
	var a wire.Answer
	if v.Match.Action == None && (q.answer != "" || q.rcode != 0) {
		asker.Later = v.Later
		key := questionOf(t, q, &a)
		v = s.Judge(sc, wire.KeyQuestion(key), &asker, &a)
	}
	text := v.Match.Action.String()
	if v.Match.Action == None {
		return text
	}
	text = fmt.Sprintf("%s by %s of %s", text, v.Match.Trigger, s.Policy(v.Match.Zone).Name)
	if v.Match.Action == Passthru || v.Match.Action == Drop {
		return text
	}
	var out wire.Answer
	target, ttl := s.Reply(sc, v.Match, q.qtype, 0, &out)
	if target == nil {
		return text + shown(t, q, &out)
	}
	to, _, _ := dns.UnpackDomainName(target, 0)
	return fmt.Sprintf("%s: %d CNAME %s", text, ttl, to)
}

// questionOf makes what an upstream would have sent, and returns the question's key.
func questionOf(t testing.TB, q asked, a *wire.Answer) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	msg, _ := m.Pack()
	var view wire.Query
	if fault := wire.ParseQuery(msg, &view); fault != wire.FaultNone {
		t.Fatal(fault)
	}
	key := view.Key(new([wire.KeyBytesMax]byte))
	m.Response, m.Rcode, m.Compress = true, q.rcode, true
	sections := []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}
	at := 0
	for line := range strings.Lines(q.answer) {
		if line = strings.TrimSpace(line); line == "--" {
			at++
		} else if line != "" {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			*sections[at] = append(*sections[at], rr)
		}
	}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if fault := wire.ParseResponse(msg, key, a, new(wire.ResponseScratch)); fault != wire.FaultNone {
		t.Fatal(fault)
	}
	return key
}

// shown is a reply as a client reads it.
func shown(t testing.TB, q asked, a *wire.Answer) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	msg, _ := m.Pack()
	var view wire.Query
	wire.ParseQuery(msg, &view)
	client := view.Client(wire.MessageBytesMax)
	buf := make([]byte, wire.MessageBytesMax)
	if err := m.Unpack(buf[:wire.WriteReply(buf, &client, a, 0, 1232)]); err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	text := ": " + dns.RcodeToString[m.Rcode]
	if m.Truncated {
		text += " TC"
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		f := strings.Fields(rr.String())
		switch rr.(type) {
		case *dns.SOA:
			text += " | soa " + f[0] + " " + f[1]
		default:
			text += " | " + f[0] + " " + f[1] + " " + strings.Join(f[3:], " ")
		}
	}
	return text
}
