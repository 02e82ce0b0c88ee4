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

// trial is one query with what came back, straight from the server and through the proxy.
type trial struct {
	network       string
	query         *dns.Msg
	straight      *dns.Msg
	whole         *dns.Msg // straight, over TCP: nothing is cut
	proxied       *dns.Msg
	bytes         int  // of proxied
	signed        bool // the zone is
	authoritative bool // the server is NSD
}

// newTrial draws a query.
func newTrial(rng *rand.Rand, authoritative bool) *trial {
	question, signed := differentialQuestion(rng)
	q := new(dns.Msg)
	q.Question = []dns.Question{question}
	q.Id = uint16(rng.Uint32())
	q.RecursionDesired = !authoritative || rng.IntN(4) > 0 // what a resolver says without RD depends on what it was asked before
	q.CheckingDisabled = rng.IntN(6) == 0
	q.AuthenticatedData = rng.IntN(6) == 0
	if size := []uint16{0, 0, 512, 700, 1232, 4096, 65535}[rng.IntN(7)]; size != 0 {
		q.SetEdns0(size, rng.IntN(3) == 0 || signed && rng.IntN(2) == 0)
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
	return &trial{network: []string{"udp", "udp", "tcp"}[rng.IntN(3)], query: q, signed: signed, authoritative: authoritative}
}

// carry asks both.
func (c *trial) carry(server, proxy netip.AddrPort) error {
	var err error
	if c.straight, _, err = c.ask(server, c.network); err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	c.whole = c.straight
	if c.network == "udp" {
		if c.whole, _, err = c.ask(server, "tcp"); err != nil {
			return fmt.Errorf("the server over TCP: %w", err)
		}
	}
	if c.proxied, c.bytes, err = c.ask(proxy, c.network); err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	return nil
}

// ask asks one server, and returns what came back and how long that was.
func (c *trial) ask(to netip.AddrPort, network string) (*dns.Msg, int, error) {
	conn, err := dns.DialTimeout(network, to.String(), 10*time.Second)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	conn.UDPSize = dns.MaxMsgSize
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := conn.WriteMsg(c.query.Copy()); err != nil {
		return nil, 0, err
	}
	raw, err := conn.ReadMsgHeader(nil)
	if err != nil {
		return nil, 0, err
	}
	m := new(dns.Msg)
	return m, len(raw), m.Unpack(raw)
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
		switch rr := rr.(type) {
		case *dns.TXT, *dns.DNSKEY: // no names, beside what is in lower case anyway
		case *dns.RRSIG:
			text = strings.Replace(text, rr.SignerName, strings.ToLower(rr.SignerName), 1)
		default:
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
	if _, err := p.Pack(); err != nil {
		fail("it cannot be packed: %v", err)
	}
	if c.bytes > c.limit() {
		fail("%d bytes, the client takes %d", c.bytes, c.limit())
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
	ad := p.AuthenticatedData
	if c.query.CheckingDisabled && s.AuthenticatedData && !ad {
		explained["AD: for a query with CD unbound tells it once it has validated that for somebody else (RFC 4035 §3.2.2 asks for nothing); the proxy kept the answer of before"]++
		ad = true
	}
	if p.Rcode != s.Rcode || p.Authoritative != s.Authoritative || ad != s.AuthenticatedData {
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

// note counts what the proxied answer has of DNSSEC.
func (c *trial) note(seen map[string]int) {
	p := c.proxied
	count := func(what string, is bool) {
		if is {
			seen[what]++
		}
	}
	has := func(rrtype uint16, sections ...[]dns.RR) bool {
		return slices.ContainsFunc(slices.Concat(sections...), func(rr dns.RR) bool { return rr.Header().Rrtype == rrtype })
	}
	signatures := has(dns.TypeRRSIG, p.Answer, p.Ns)
	count("signatures", signatures)
	count("signatures in an answer that is cut", signatures && p.Truncated)
	count("cut before all signatures", p.Truncated && !signatures && c.query.IsEdns0() != nil && c.query.IsEdns0().Do())
	count("NSEC, name", p.Rcode == dns.RcodeNameError && has(dns.TypeNSEC, p.Ns))
	count("NSEC, type", p.Rcode == dns.RcodeSuccess && len(p.Answer) == 0 && has(dns.TypeNSEC, p.Ns))
	count("NSEC3, name", p.Rcode == dns.RcodeNameError && has(dns.TypeNSEC3, p.Ns))
	count("NSEC3, type", p.Rcode == dns.RcodeSuccess && len(p.Answer) == 0 && has(dns.TypeNSEC3, p.Ns))
	count("wildcard with proof", strings.Contains(strings.ToLower(c.query.Question[0].Name), "wild.") && has(dns.TypeRRSIG, p.Answer) && (has(dns.TypeNSEC, p.Ns) || has(dns.TypeNSEC3, p.Ns)))
	count("DS", has(dns.TypeDS, p.Answer))
	count("DNSKEY", has(dns.TypeDNSKEY, p.Answer))
	bogus := strings.HasSuffix(strings.ToLower(c.query.Question[0].Name), "bogus.example.") && p.Rcode != dns.RcodeRefused
	if !c.authoritative {
		count("AD", p.AuthenticatedData)
		count("AD without DO", p.AuthenticatedData && (c.query.IsEdns0() == nil || !c.query.IsEdns0().Do()))
		count("bogus refused", bogus && p.Rcode == dns.RcodeServerFailure && !c.query.CheckingDisabled)
		count("bogus with CD", bogus && len(p.Answer) != 0 && c.query.CheckingDisabled)
	}
}

// checkSeen reports what note has not counted: then the queries show nothing of it.
func checkSeen(t *testing.T, seen map[string]int, authoritative bool) {
	t.Helper()
	wanted := []string{
		"signatures", "signatures in an answer that is cut", "cut before all signatures", "NSEC, name", "NSEC, type", "NSEC3, name", "NSEC3, type", "wildcard with proof", "DS", "DNSKEY",
	}
	if !authoritative {
		wanted = append(wanted, "AD", "AD without DO", "bogus refused", "bogus with CD")
	}
	for _, what := range wanted {
		if t.Logf("%4d  %s", seen[what], what); seen[what] == 0 {
			t.Errorf("no answer with: %s", what)
		}
	}
}

// 5,000 queries of mixed types, flags, EDNS, cases and sizes, through the proxy and straight to a real NSD, and to a real unbound that resolves from it and
// validates: the answers agree but for TTLs and what is explained, in each case by a rule that says how the proxied answer must look. Half of the zones are signed.
func TestDifferential(t *testing.T) {
	const queries, seed = 5000, 8
	texts, names, anchors := differentialZoneTexts(t)
	nsd := rig.NewNSD(t, texts, rig.TSIG{}, netip.AddrPort{})
	unbound := rig.NewResolver(t, nsd.Addr, names, anchors...)
	for _, server := range []struct {
		name          string
		addr          netip.AddrPort
		authoritative bool
	}{{"nsd", nsd.Addr, true}, {"unbound", unbound.Addr, false}} {
		t.Run(server.name, func(t *testing.T) {
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + server.addr.String()}}}, nil)
			rng := rand.New(rand.NewPCG(seed, seed))
			trials := make(chan *trial)
			explained, seen, differ := map[string]int{}, map[string]int{}, 0
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
						if err == nil && c.signed {
							c.note(seen)
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
			checkSeen(t, seen, server.authoritative)
		})
	}
}
