package embedded

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Zone is the name below which the demo's names are.
const Zone = "demo.example."

const zoneText = `
$ORIGIN demo.example.
$TTL 300
@       IN SOA   ns hostmaster 1 3600 600 86400 30
@       IN NS    ns
@       IN MX    10 mail
@       IN TXT   "secure-dns-proxy demo zone"
ns      IN A     192.0.2.53
ns      IN AAAA  2001:db8::53
mail    IN A     192.0.2.25
www     IN A     192.0.2.80
www     IN AAAA  2001:db8::80
alias   IN CNAME www
chain   IN CNAME alias
short 2 IN A     192.0.2.2
*.wild  IN A     192.0.2.42
`

// rootSOA stands for every name outside the zone.
const rootSOA = ". 30 IN SOA ns.demo.example. hostmaster.demo.example. 1 3600 600 86400 30"

// bigTXT is how many strings of 100 bytes big.demo.example has: more than any datagram of 1232 bytes holds.
const bigTXT = 20

// zone is the demo's data. It does not change after newZone and is safe for concurrent use.
type zone struct {
	records map[string]map[uint16][]dns.RR // by lower-case owner, then type; empty non-terminals have an empty map
	soa     dns.RR
	root    dns.RR
}

func newZone() (*zone, error) {
	z := &zone{records: map[string]map[uint16][]dns.RR{}}
	p := dns.NewZoneParser(strings.NewReader(zoneText), "", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("embedded zone: %w", err)
	}
	big := &dns.TXT{Hdr: dns.RR_Header{Name: "big." + Zone, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}}
	for i := range bigTXT {
		big.Txt = append(big.Txt, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 98)))
	}
	z.add(big)
	z.soa = z.records[Zone][dns.TypeSOA][0]
	var err error
	if z.root, err = dns.NewRR(rootSOA); err != nil {
		return nil, fmt.Errorf("embedded root: %w", err)
	}
	return z, nil
}

// add stores rr and makes every name between it and the zone's top exist (RFC 4592 §2.2.2).
func (z *zone) add(rr dns.RR) {
	owner := strings.ToLower(rr.Header().Name)
	for name := owner; dns.IsSubDomain(Zone, name); name = parent(name) {
		if z.records[name] == nil {
			z.records[name] = map[uint16][]dns.RR{}
		}
	}
	t := rr.Header().Rrtype
	z.records[owner][t] = append(z.records[owner][t], rr)
}

func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// answer completes reply, which has the question of a query in class IN.
func (z *zone) answer(reply *dns.Msg) {
	q := reply.Question[0]
	name := q.Name
	for range chainMax {
		if !dns.IsSubDomain(Zone, name) {
			reply.Rcode = dns.RcodeNameError
			reply.Ns = []dns.RR{z.root}
			return
		}
		sets, exists := z.find(name)
		if !exists {
			reply.Rcode = dns.RcodeNameError
			reply.Ns = []dns.RR{z.soa}
			return
		}
		if found := sets[q.Qtype]; len(found) > 0 {
			reply.Answer = append(reply.Answer, owned(found, name)...)
			return
		}
		alias := sets[dns.TypeCNAME]
		if len(alias) == 0 {
			reply.Ns = []dns.RR{z.soa}
			return
		}
		reply.Answer = append(reply.Answer, owned(alias, name)...)
		name = alias[0].(*dns.CNAME).Target
	}
	reply.Rcode = dns.RcodeServerFailure
}

// find returns what is at a name of the zone, by wildcard if its closest encloser has one (RFC 4592 §3.3.1).
func (z *zone) find(name string) (map[uint16][]dns.RR, bool) {
	name = strings.ToLower(name)
	if sets, exists := z.records[name]; exists {
		return sets, true
	}
	for up := parent(name); dns.IsSubDomain(Zone, up); up = parent(up) {
		if _, exists := z.records[up]; exists {
			sets, wild := z.records["*."+up]
			return sets, wild
		}
	}
	return nil, false
}

// owned returns copies of the records with the owner that was asked for, in its letter case.
func owned(set []dns.RR, name string) []dns.RR {
	out := make([]dns.RR, len(set))
	for i, rr := range set {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}
