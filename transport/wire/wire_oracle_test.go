package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// wireName is a name of miekg/dns back on the wire.
func wireName(t testing.TB, name string) []byte {
	t.Helper()
	buf := make([]byte, NameBytesMax+1)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("PackDomainName(%q): %v", name, err)
	}
	return buf[:n]
}

// mustUnpack parses with the oracle what we wrote.
func mustUnpack(t testing.TB, msg []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("miekg/dns cannot read what we wrote: %v\n%x", err, msg)
	}
	return m
}

// checkQuestion holds the oracle's question against the bytes we expect.
func checkQuestion(t testing.TB, m *dns.Msg, question []byte) {
	t.Helper()
	if len(m.Question) != 1 {
		t.Fatalf("%d questions, want 1", len(m.Question))
	}
	got := wireName(t, m.Question[0].Name)
	got = binary.BigEndian.AppendUint16(got, m.Question[0].Qtype)
	got = binary.BigEndian.AppendUint16(got, m.Question[0].Qclass)
	if !bytes.Equal(got, question) {
		t.Fatalf("question = %q, want %q", got, question)
	}
}

// oracleOpaque are types whose RDATA holds names for miekg/dns but is opaque to us. A pointer in there is the sender's fault
// (RFC 3597 §4 forbids it) and may be readable before the TTLs are aged and not after, so such messages are compared less deeply.
var oracleOpaque = []uint16{dns.TypeHIP, dns.TypeIPSECKEY, dns.TypeAMTRELAY, dns.TypeTKEY, dns.TypeTSIG}

// oracleRecords returns the records that we should have kept, as the oracle reads them and aged, their least TTL before that, and whether
// they can be compared. It ages m itself: once per message with an age other than 0.
func oracleRecords(m *dns.Msg, age uint32) (texts []string, ttlMin uint32, ok bool) {
	ttlMin = 1<<32 - 1
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		h := rr.Header()
		if h.Rrtype == dns.TypeOPT {
			continue
		}
		if slices.Contains(oracleOpaque, h.Rrtype) {
			return nil, 0, false
		}
		h.Ttl = min(h.Ttl, 1<<31-1)
		ttlMin = min(ttlMin, h.Ttl)
		h.Ttl -= min(h.Ttl, age)
		h.Rdlength = 0 // compression differs
		texts = append(texts, rr.String())
	}
	return texts, ttlMin, true
}

// checkRecords holds a reply that carries all records against the response it was made from.
func checkRecords(t testing.TB, response, reply *dns.Msg, age uint32) {
	t.Helper()
	want, _, ok := oracleRecords(response, age)
	got, _, _ := oracleRecords(reply, 0)
	if ok && !slices.Equal(got, want) {
		t.Fatalf("records\n%q, want\n%q", got, want)
	}
}

// TestRandomResponsesAgainstOracle builds valid responses of many types with miekg/dns, with and without compression and with the OPT
// anywhere in the additional section. Every one must be accepted, and the reply made from it must carry the same records.
func TestRandomResponsesAgainstOracle(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	scratch := new(ResponseScratch)
	for i := range 5000 {
		m := randomResponse(t, rng)
		packed, err := m.Pack()
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		question := packed[HeaderBytes : HeaderBytes+len(wireName(t, m.Question[0].Name))+4]
		key := mustKey(t, string(question))
		response := mustUnpack(t, packed)
		_, ttlMin, _ := oracleRecords(response, 0)

		var a Answer
		if fault := ParseResponse(packed, key, &a, scratch); fault != FaultNone {
			t.Fatalf("case %d: fault %v in\n%v", i, fault, m)
		}
		if !a.Negative && a.TTL != ttlMin {
			t.Fatalf("case %d: TTL = %d, want %d in\n%v", i, a.TTL, ttlMin, m)
		}
		c := Client{Flags: FlagRD, Question: question, HasOPT: rng.IntN(2) == 0, Limit: MessageBytesMax}
		age := rng.Uint32N(200)
		dst := make([]byte, MessageBytesMax)
		reply := mustUnpack(t, dst[:WriteReply(dst, &c, &a, age, 1232)])
		checkQuestion(t, reply, question)
		checkRecords(t, mustUnpack(t, mustPack(t, m)), reply, age)
		if (reply.IsEdns0() != nil) != c.HasOPT {
			t.Fatalf("case %d: OPT in reply: %v, client: %v", i, reply.IsEdns0() != nil, c.HasOPT)
		}
	}
}

func mustPack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// randomRecords are records whose owners and targets invite compression against each other.
var randomRecords = []string{
	"www.example.com. 300 IN A 192.0.2.1", "www.example.com. 60 IN AAAA 2001:db8::1", "example.com. 3600 IN NS ns1.example.com.",
	"ns1.example.com. 30 IN A 192.0.2.53", "example.com. 86400 IN MX 10 mail.example.com.", "mail.example.com. 5 IN A 192.0.2.25",
	"www.example.com. 1 IN CNAME edge.cdn.example.net.", "edge.cdn.example.net. 20 IN A 198.51.100.7",
	"example.com. 900 IN SOA ns1.example.com. root.example.com. 1 7200 900 604800 60", "_sip._tcp.example.com. 77 IN SRV 1 2 5060 sip.example.com.",
	"sip.example.com. 78 IN A 192.0.2.60", "example.com. 100 IN TXT \"v=spf1 -all\"", "example.com. 100 IN CAA 0 issue \"ca.example\"",
	"example.com. 50 IN HTTPS 1 svc.example.com. alpn=h2", "svc.example.com. 51 IN A 192.0.2.80", "example.com. 12 IN NAPTR 1 2 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.com.",
	"_sip._udp.example.com. 13 IN SRV 0 0 1 sip.example.com.", "www.example.com. 300 IN RRSIG A 13 3 300 20300101000000 20290101000000 1 example.com. AAAA",
	"a.example.com. 300 IN NSEC c.example.com. A RRSIG NSEC", "1.2.0.192.in-addr.arpa. 9 IN PTR www.example.com.", "d.example.com. 8 IN DNAME target.example.org.",
	"h.target.example.org. 8 IN A 203.0.113.1", "example.com. 4 IN RP root.example.com. txt.example.com.", "txt.example.com. 4 IN TXT \"x\"",
	"example.com. 6 IN TYPE65400 \\# 4 c00cc00c", "example.com. 6 IN DS 1 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
}

func randomResponse(t testing.TB, rng *rand.Rand) *dns.Msg {
	m := new(dns.Msg)
	names := []string{"www.example.com.", "WWW.Example.COM.", "example.com.", "com.", ".", "a.b.c.d.e.f.example.com."}
	m.SetQuestion(names[rng.IntN(len(names))], []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeMX}[rng.IntN(4)])
	m.Response, m.RecursionAvailable = true, true
	m.Compress = rng.IntN(4) > 0
	for _, section := range []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra} {
		for range rng.IntN(6) {
			rr, err := dns.NewRR(randomRecords[rng.IntN(len(randomRecords))])
			if err != nil {
				t.Fatal(err)
			}
			*section = append(*section, rr)
		}
	}
	if rng.IntN(4) > 0 {
		o := new(dns.OPT)
		o.Hdr.Name, o.Hdr.Rrtype = ".", dns.TypeOPT
		o.SetUDPSize(1232)
		if rng.IntN(2) == 0 {
			o.Option = append(o.Option, &dns.EDNS0_SUBNET{
				Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24,
				Address: netip.MustParseAddr("192.0.2.0").AsSlice(),
			})
		}
		m.Extra = slices.Insert(m.Extra, rng.IntN(len(m.Extra)+1), dns.RR(o))
	}
	return m
}
