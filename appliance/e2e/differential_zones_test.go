package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// differentialZone is what the real servers of TestDifferential serve as a zone of that name: chains, wildcards, delegations, empty names, large and odd
// records.
func differentialZone(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s.\n", name)
	b.WriteString(`$TTL 3600
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
@ NS ns2
@ MX 10 mail
@ MX 20 mail2
@ TXT "v=spf1 -all" "second"
@ CAA 0 issue "ca.example"
ns A 192.0.2.53
ns2 AAAA 2001:db8::53
mail A 192.0.2.25
mail2 A 192.0.2.26
www A 192.0.2.80
www A 192.0.2.81
www AAAA 2001:db8::80
www HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80
short 5 A 192.0.2.5
zero 0 A 192.0.2.9
c1 CNAME c2
c2 600 CNAME c3
c3 CNAME www
dangling CNAME nowhere
foreign CNAME www.elsewhere.example.
selfish CNAME www
*.wild A 192.0.2.100
*.wild TXT "wild"
*.cwild CNAME www
deep.down.ent A 192.0.2.7
sub NS ns.sub
ns.sub A 192.0.2.99
_sip._tcp SRV 1 2 5060 www
naptr NAPTR 1 2 "S" "SIP+D2U" "" _sip._tcp
odd TYPE65400 \# 4 c00cc00c
dname DNAME ent
1.2 PTR www
`)
	for i := range 40 {
		fmt.Fprintf(&b, "many A 198.51.100.%d\n", i+1)
	}
	for i := range 12 {
		fmt.Fprintf(&b, "big TXT \"%03d%s\"\n", i, strings.Repeat("x", 240))
	}
	for i := range 60 {
		fmt.Fprintf(&b, "huge TXT \"%03d%s\"\n", i, strings.Repeat("y", 240))
	}
	return b.String()
}

// Zones of TestDifferential, by how often they are asked for in 20 queries. All but child hold the same.
var differentialZones = []struct {
	name   string
	weight int
	signed bool
	nsec3  bool
}{
	{"diff.example", 8, false, false},
	{"nsec.example", 5, true, false},
	{"nsec3.example", 5, true, true},
	{"child.nsec.example", 1, true, true}, // a delegation with DS
	{"bogus.example", 1, true, false},     // the resolver's trust anchor is of another key
}

// differentialZoneTexts are those zones as a server is to have them, and trust anchors for a resolver.
func differentialZoneTexts(t *testing.T) (texts map[string]string, names, anchors []string) {
	t.Helper()
	texts = map[string]string{}
	child := rig.SignZone(t, "child.nsec.example", differentialZone("child.nsec.example"), true)
	for _, z := range differentialZones {
		names = append(names, z.name)
		text := differentialZone(z.name)
		switch z.name {
		case "child.nsec.example":
			texts[z.name] = child.Text
			continue
		case "nsec.example":
			text += "child NS ns.child\nns.child A 192.0.2.99\n" + child.Anchor + "\n"
		}
		if texts[z.name] = text; z.signed {
			signed := rig.SignZone(t, z.name, text, z.nsec3)
			texts[z.name] = signed.Text
			if z.name == "bogus.example" {
				signed = rig.SignZone(t, z.name, text, z.nsec3)
			}
			anchors = append(anchors, signed.Anchor)
		}
	}
	return texts, names, anchors
}

// differentialNames are asked for in each zone; a "*" becomes a random label.
var differentialNames = []string{
	"diff.example.", "ns.diff.example.", "www.diff.example.", "www.diff.example.", "short.diff.example.", "zero.diff.example.", "c1.diff.example.", "c2.diff.example.",
	"dangling.diff.example.", "foreign.diff.example.", "*.wild.diff.example.", "a.*.wild.diff.example.", "*.cwild.diff.example.", "wild.diff.example.",
	"ent.diff.example.", "down.ent.diff.example.", "deep.down.ent.diff.example.", "*.diff.example.", "*.www.diff.example.", "sub.diff.example.", "*.sub.diff.example.",
	"_sip._tcp.diff.example.", "naptr.diff.example.", "odd.diff.example.", "deep.down.dname.diff.example.", "1.2.diff.example.", "many.diff.example.", "big.diff.example.",
	"huge.diff.example.", "*.elsewhere.example.",
}

var differentialTypes = []uint16{
	dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeSRV, dns.TypeCAA, dns.TypeHTTPS,
	dns.TypeNAPTR, dns.TypeDS, dns.TypePTR, 65400, dns.TypeANY,
}

// differentialKeys are what a validator asks for.
var differentialKeys = []dns.Question{
	{Name: "diff.example.", Qtype: dns.TypeDNSKEY, Qclass: dns.ClassINET},
	{Name: "child.diff.example.", Qtype: dns.TypeDS, Qclass: dns.ClassINET},
	{Name: "sub.diff.example.", Qtype: dns.TypeDS, Qclass: dns.ClassINET},
}

// What is asked for in signed zones besides.
var (
	differentialSignedNames = []string{"diff.example.", "diff.example.", "child.diff.example.", "ns.child.diff.example.", "*.*.wild.diff.example."}
	differentialSignedTypes = []uint16{dns.TypeDNSKEY, dns.TypeDNSKEY, dns.TypeDS, dns.TypeDS, dns.TypeNSEC, dns.TypeNSEC3PARAM}
)

// differentialLarge are questions with answers that have to be cut.
var differentialLarge = []dns.Question{
	{Name: "big.diff.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET},
	{Name: "huge.diff.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET},
	{Name: "many.diff.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
	{Name: "many.diff.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
}

// differentialQuestion draws a question, and says whether its zone is signed.
func differentialQuestion(rng *rand.Rand) (q dns.Question, signed bool) {
	zone, names, types := differentialZones[0], differentialNames, differentialTypes
	at := rng.IntN(20)
	for _, z := range differentialZones {
		if zone = z; at < z.weight {
			break
		}
		at -= z.weight
	}
	if zone.signed {
		names, types = slices.Concat(names, differentialSignedNames), slices.Concat(types, differentialSignedTypes)
	}
	q = dns.Question{Name: names[rng.IntN(len(names))], Qtype: types[rng.IntN(len(types))], Qclass: dns.ClassINET}
	if rng.IntN(8) == 0 {
		q = differentialLarge[rng.IntN(len(differentialLarge))]
	}
	if zone.signed && rng.IntN(16) == 0 {
		q = differentialKeys[rng.IntN(len(differentialKeys))]
	}
	q.Name = strings.Replace(q.Name, "*", fmt.Sprintf("x%d", rng.IntN(40)), 1)
	if rest, ok := strings.CutSuffix(q.Name, "diff.example."); ok {
		q.Name = rest + zone.name + "."
	}
	spelled := []byte(q.Name)
	if rng.IntN(2) == 0 {
		for i, c := range spelled {
			if 'a' <= c && c <= 'z' && rng.IntN(2) == 0 {
				spelled[i] = c - 0x20
			}
		}
	}
	q.Name = string(spelled)
	return q, zone.signed
}
