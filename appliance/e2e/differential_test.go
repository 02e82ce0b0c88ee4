package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// differentialZone is what the real servers of TestDifferential serve: chains, wildcards, delegations, empty names, large and odd records.
func differentialZone() string {
	var b strings.Builder
	b.WriteString(`$ORIGIN diff.example.
$TTL 3600
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

// differentialNames are asked for; a "*" becomes a random label.
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

// differentialLarge are questions with answers that have to be cut.
var differentialLarge = []dns.Question{
	{Name: "big.diff.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET},
	{Name: "HUGE.diff.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET},
	{Name: "many.diff.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
	{Name: "Many.Diff.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
}

// trial is one query with what came back, straight from the server and through the proxy.
type trial struct {
	network       string
	query         *dns.Msg
	straight      *dns.Msg
	whole         *dns.Msg // straight, over TCP: nothing is cut
	proxied       *dns.Msg
	authoritative bool // the server is NSD
}

// newTrial draws a query.
func newTrial(rng *rand.Rand, authoritative bool) *trial {
	name := strings.Replace(differentialNames[rng.IntN(len(differentialNames))], "*", fmt.Sprintf("x%d", rng.IntN(40)), 1)
	spelled := []byte(name)
	if rng.IntN(2) == 0 {
		for i, c := range spelled {
			if 'a' <= c && c <= 'z' && rng.IntN(2) == 0 {
				spelled[i] = c - 0x20
			}
		}
	}
	q := new(dns.Msg).SetQuestion(string(spelled), differentialTypes[rng.IntN(len(differentialTypes))])
	if rng.IntN(8) == 0 {
		q.Question[0] = differentialLarge[rng.IntN(len(differentialLarge))]
	}
	q.Id = uint16(rng.Uint32())
	q.RecursionDesired = !authoritative || rng.IntN(4) > 0 // what a resolver says without RD depends on what it was asked before
	q.CheckingDisabled = rng.IntN(6) == 0
	q.AuthenticatedData = rng.IntN(6) == 0
	if size := []uint16{0, 0, 512, 700, 1232, 4096, 65535}[rng.IntN(7)]; size != 0 {
		q.SetEdns0(size, rng.IntN(3) == 0)
		if rng.IntN(8) == 0 {
			q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("?")})
		}
		if rng.IntN(40) == 0 {
			q.IsEdns0().SetVersion(1)
		}
	}
	switch rng.IntN(60) {
	case 0:
		q.Question[0].Qclass = dns.ClassCHAOS
	case 1:
		q.Opcode = dns.OpcodeNotify
	case 2:
		q.Question[0] = dns.Question{Name: "a.localhost.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	}
	return &trial{network: []string{"udp", "udp", "tcp"}[rng.IntN(3)], query: q, authoritative: authoritative}
}

// carry asks both.
func (c *trial) carry(server, proxy netip.AddrPort) error {
	ask := func(to netip.AddrPort, network string) (*dns.Msg, error) {
		client := dns.Client{Net: network, Timeout: 10 * time.Second, UDPSize: 65535}
		m, _, err := client.Exchange(c.query.Copy(), to.String())
		return m, err
	}
	var err error
	if c.straight, err = ask(server, c.network); err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	c.whole = c.straight
	if c.network == "udp" {
		if c.whole, err = ask(server, "tcp"); err != nil {
			return fmt.Errorf("the server over TCP: %w", err)
		}
	}
	if c.proxied, err = ask(proxy, c.network); err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	return nil
}

// explanation is why an answer through the proxy differs in something. holds says that this answer does so as it must.
type explanation struct {
	what  string
	holds func(c *trial) bool
}

// policies are why a whole answer is the proxy's own.
var policies = []explanation{
	{"ANY is answered with HINFO (RFC 8482)", func(c *trial) bool {
		return c.query.Question[0].Qtype == dns.TypeANY && c.proxied.Rcode == dns.RcodeSuccess && len(c.proxied.Answer) == 1 &&
			c.proxied.Answer[0].Header().Rrtype == dns.TypeHINFO
	}},
	{"other classes are refused", func(c *trial) bool {
		return c.query.Question[0].Qclass != dns.ClassINET && c.proxied.Rcode == dns.RcodeRefused
	}},
	{"NOTIFY is not implemented", func(c *trial) bool {
		return c.query.Opcode == dns.OpcodeNotify && c.proxied.Opcode == dns.OpcodeNotify && c.proxied.Rcode == dns.RcodeNotImplemented
	}},
	{"localhost is known here (RFC 6761)", func(c *trial) bool {
		return strings.HasSuffix(c.query.Question[0].Name, "localhost.") && c.proxied.Rcode == dns.RcodeSuccess &&
			c.proxied.Answer[0].(*dns.A).A.IsLoopback()
	}},
	{"EDNS version 1: BADVERS comes before all that the server looks at first", func(c *trial) bool {
		return c.query.IsEdns0() != nil && c.query.IsEdns0().Version() == 1 && c.proxied.Rcode == dns.RcodeBadVers
	}},
}

// texts are the records of a section without their TTLs, sorted, for servers rotate them, and with names in lower case: unbound gives them as somebody
// spelled them who asked before (RFC 4343 §4.1), NSD as they were asked for, and the proxy asks in lower case.
func texts(section []dns.RR) []string {
	var all []string
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		text := rr.String()
		if rr.Header().Rrtype != dns.TypeTXT { // of all that the zone has the only text that is not a name, beside what is in lower case anyway
			text = strings.ToLower(text)
		}
		all = append(all, strings.Replace(text, rr.Header().Name, strings.ToLower(rr.Header().Name), 1))
	}
	slices.Sort(all)
	return all
}

func within(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

// limit is the size of the largest reply to this query.
func (c *trial) limit() int {
	if c.network == "tcp" {
		return dns.MaxMsgSize
	}
	if opt := c.query.IsEdns0(); opt != nil {
		return max(512, min(int(opt.UDPSize()), 1232))
	}
	return 512
}

// judge returns what of the proxied answer nothing explains, and counts what was explained.
func (c *trial) judge(explained map[string]int) (unexplained []string) {
	p, s := c.proxied, c.whole
	fail := func(format string, args ...any) { unexplained = append(unexplained, fmt.Sprintf(format, args...)) }
	if p.Id != c.query.Id || !p.Response || p.Question[0] != c.query.Question[0] || p.RecursionDesired != c.query.RecursionDesired {
		fail("id, question or RD are not the query's")
	}
	if (p.IsEdns0() != nil) != (c.query.IsEdns0() != nil) {
		fail("OPT in the answer: %v", p.IsEdns0() != nil)
	}
	if packed, err := p.Pack(); err != nil {
		fail("it cannot be packed: %v", err)
	} else if p.Compress = true; len(packed) > 0 && p.Len() > c.limit() {
		fail("%d bytes, the client takes %d", p.Len(), c.limit())
	}
	if !p.RecursionAvailable {
		fail("RA is not set")
	} else if !s.RecursionAvailable {
		explained["RA: the proxy asks on for everybody"]++
	}
	for _, policy := range policies {
		if policy.holds(c) {
			explained[policy.what]++
			return unexplained
		}
	}
	failed := p.Rcode == dns.RcodeServerFailure || p.Rcode == dns.RcodeRefused
	if failed && s.Authoritative && !p.Authoritative && len(p.Answer)+len(p.Ns) == 0 {
		explained["AA: not told with a failure that is remembered (RFC 9520)"]++
		p.Authoritative = true
	}
	if p.Rcode != s.Rcode || p.Authoritative != s.Authoritative || p.AuthenticatedData != s.AuthenticatedData {
		fail("rcode %s, AA %v, AD %v, straight %s, %v, %v", dns.RcodeToString[p.Rcode], p.Authoritative, p.AuthenticatedData,
			dns.RcodeToString[s.Rcode], s.Authoritative, s.AuthenticatedData)
	}
	if p.CheckingDisabled != c.query.CheckingDisabled {
		fail("CD is not the query's")
	} else if s.CheckingDisabled != c.query.CheckingDisabled {
		explained["CD: copied from the query (RFC 6840 §5.7)"]++
	}
	if c.straight.Truncated != p.Truncated {
		explained["TC: our largest datagram has 1232 bytes, and only what a client needs counts"]++
	}
	c.judgeSections(fail, explained)
	return unexplained
}

// judgeSections compares the records.
func (c *trial) judgeSections(fail func(string, ...any), explained map[string]int) {
	p, s := c.proxied, c.whole
	answer, authority, additional := texts(p.Answer), texts(p.Ns), texts(p.Extra)
	switch {
	case p.Truncated:
		if s.Compress = true; s.Len() <= c.limit()-40 { // less what names that are compressed otherwise may take
			fail("truncated, though %d bytes fit %d", s.Len(), c.limit())
		}
		if !within(answer, texts(s.Answer)) || !within(authority, texts(s.Ns)) {
			fail("truncated, with records that are not in the whole answer")
		}
		explained["truncated: the part that is there is from the whole answer"]++
		return
	case slices.Equal(answer, texts(s.Answer)):
	default:
		fail("answer section differs")
	}
	if !slices.Equal(authority, texts(s.Ns)) {
		if p.Rcode != dns.RcodeSuccess || len(answer) == 0 || !within(authority, texts(s.Ns)) {
			fail("authority section differs")
		}
		explained["authority: of a positive answer it is left out first"]++
	}
	if !slices.Equal(additional, texts(s.Extra)) {
		if !within(additional, texts(s.Extra)) {
			fail("additional section differs")
		}
		explained["additional: what does not fit is not missed"]++
	}
}

// 5,000 queries of mixed types, flags, EDNS, cases and sizes, through the proxy and straight to a real NSD, and to a real unbound that resolves from it: the
// answers agree but for TTLs and what is explained, in each case by a rule that says how the proxied answer must look.
func TestDifferential(t *testing.T) {
	const queries, seed = 5000, 8
	nsd := rig.NewNSD(t, map[string]string{"diff.example": differentialZone()}, rig.TSIG{}, netip.AddrPort{})
	unbound := rig.NewResolver(t, "diff.example.", nsd.Addr)
	for _, server := range []struct {
		name          string
		addr          netip.AddrPort
		authoritative bool
	}{{"nsd", nsd.Addr, true}, {"unbound", unbound.Addr, false}} {
		t.Run(server.name, func(t *testing.T) {
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + server.addr.String()}}}, nil)
			rng := rand.New(rand.NewPCG(seed, seed))
			trials := make(chan *trial)
			explained, differ := map[string]int{}, 0
			var mu sync.Mutex
			var askers sync.WaitGroup
			for range 4 {
				askers.Go(func() {
					for c := range trials {
						err := c.carry(server.addr, proxy.Addr)
						mu.Lock()
						if err != nil {
							t.Errorf("%v: %v", c.query.Question, err)
						} else if unexplained := c.judge(explained); len(unexplained) != 0 {
							if differ++; differ <= 5 {
								t.Errorf("%s over %s:\n%v\nquery\n%v\nstraight\n%v\nproxied\n%v", c.query.Question[0].Name, c.network, unexplained, c.query, c.whole, c.proxied)
							}
						}
						mu.Unlock()
					}
				})
			}
			for range queries / 2 {
				trials <- newTrial(rng, server.authoritative)
			}
			close(trials)
			askers.Wait()
			if differ > 5 {
				t.Errorf("%d more answers differ", differ-5)
			}
			for what, n := range explained {
				t.Logf("%4d  %s", n, what)
			}
		})
	}
}
