package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// ourPolicy and their policy say the same. What they have no word for in the other's language is not in them; where a word means something else, ours
// says what theirs does (other_types, protocol).
const ourPolicy = `
[acl]
allow = ["127.0.0.0/10"]
action = "drop"
[set.listed]
file = %q
[[rule]]
name = "suffix-block"
match.suffix = ["blocked.zone.example", "ads.test"]
action.type = "refuse"
[[rule]]
name = "listed"
match.set = "listed"
action = { type = "rcode", rcode = "NXDOMAIN" }
[[rule]]
name = "any"
match = { qtype = "ANY", protocol = "udp" }
action.type = "truncate"
[[rule]]
name = "mx"
match.qtype = "MX"
action = { type = "rcode", rcode = "NOTIMP" }
[[rule]]
name = "spoof"
match.qname = "spoof.test"
action = { type = "answer", records = ["A 192.0.2.7", "A 192.0.2.8", "AAAA 2001:db8::7"], other_types = "continue" }
[[rule]]
name = "alias"
match.qname = "alias.test"
action = { type = "answer", records = ["CNAME www.zone.example"] }
[[rule]]
name = "raw"
match = { qname = "raw.test", qtype = "TXT" }
action = { type = "answer", records = ["TXT hello"] }
[[rule]]
name = "negative"
match.suffix = "neg.test"
action = { type = "negative", rcode = "NXDOMAIN", zone = "neg.test", record_ttl = "1m" }
[[rule]]
name = "regex"
match.regex = "^ads[0-9]+\\.zone\\.example\\.$"
action.type = "drop"
[[rule]]
name = "labels"
match.labels = "7-"
action.type = "refuse"
[[rule]]
name = "not-recursive"
match.rd = false
action.type = "refuse"
[[rule]]
name = "option"
match.edns_option = 65001
action.type = "refuse"
[[rule]]
name = "notify"
match.opcode = "NOTIFY"
action.type = "refuse"
[[rule]]
name = "chaos"
match.qclass = "CH"
action.type = "refuse"
[[rule]]
name = "rate"
match.source = "127.9.0.0/16"
action = { type = "rate_limit", per_second = 5, burst = 20, then = "refuse" }
[[rule]]
name = "route"
match.suffix = "other.zone.example"
action = { type = "pool", pool = "other" }
[pool.other]
`

const theirPolicy = `
setACL({"127.0.0.0/10"})
blocked = newSuffixMatchNode()
blocked:add({newDNSName("blocked.zone.example."), newDNSName("ads.test.")})
addAction(SuffixMatchNodeRule(blocked), RCodeAction(DNSRCode.REFUSED))
listed = newSuffixMatchNode()
for i = 0, 999 do listed:add(newDNSName("host" .. i .. ".listed.test.")) end
addAction(SuffixMatchNodeRule(listed), RCodeAction(DNSRCode.NXDOMAIN))
addAction(AndRule({QTypeRule(DNSQType.ANY), TCPRule(false)}), TCAction())
addAction(QTypeRule(DNSQType.MX), RCodeAction(DNSRCode.NOTIMP))
addAction(QNameRule("spoof.test."), SpoofAction({"192.0.2.7", "192.0.2.8", "2001:db8::7"}))
addAction(QNameRule("alias.test."), SpoofCNAMEAction("www.zone.example."))
addAction(AndRule({QNameRule("raw.test."), QTypeRule(DNSQType.TXT)}), SpoofRawAction("\005hello"))
addAction("neg.test.", NegativeAndSOAAction(true, "neg.test.", 60, "neg.test.", "nobody.invalid.", 1, 3600, 1200, 604800, 60))
addAction(RegexRule("^ads[0-9]+\\.zone\\.example\\.?$"), DropAction())
addAction(QNameLabelsCountRule(0, 6), RCodeAction(DNSRCode.REFUSED))
addAction(NotRule(RDRule()), RCodeAction(DNSRCode.REFUSED))
addAction(EDNSOptionRule(65001), RCodeAction(DNSRCode.REFUSED))
addAction(OpcodeRule(DNSOpcode.Notify), RCodeAction(DNSRCode.REFUSED))
addAction(QClassRule(3), RCodeAction(DNSRCode.REFUSED))
limited = newNMG()
limited:addMask("127.9.0.0/16")
addAction(AndRule({NetmaskGroupRule(limited), MaxQPSIPRule(5, 32, 64, 20)}), RCodeAction(DNSRCode.REFUSED))
addAction("other.zone.example.", PoolAction("other"))
`

// mixed makes the n-th of the mixed questions, and where it is asked from.
func mixed(random *rand.Rand, n int) (*dns.Msg, netip.Addr) {
	names := []string{
		"www.zone.example.", "WWW.Zone.Example.", "short.zone.example.", "nothere.zone.example.", "a.blocked.zone.example.", "ads.test.", "x.ads.test.",
		"host7.listed.test.", "a.host999.listed.test.", "host1000.listed.test.", "spoof.test.", "a.spoof.test.", "alias.test.", "raw.test.", "neg.test.", "x.neg.test.",
		"ads1.zone.example.", "ads.zone.example.", "ADS22.zone.example.", "a.b.c.d.e.f.g.", "a.b.c.d.bulk.example.", "other.zone.example.", "x.other.zone.example.",
		fmt.Sprintf("n%d.bulk.example.", n), "zone.example.", "bulk.example.",
	}
	types := []uint16{dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeANY}
	m := new(dns.Msg).SetQuestion(names[random.IntN(len(names))], types[random.IntN(len(types))])
	m.Id = uint16(n)
	source := netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + random.IntN(4))})
	switch random.IntN(12) {
	case 0:
		m.RecursionDesired = false
	case 1:
		m.SetEdns0(1232, false)
	case 2:
		m.SetEdns0(1232, true).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}}
	case 3:
		source = netip.MustParseAddr("127.66.0.1")
	case 4:
		m.Question[0].Qclass = dns.ClassCHAOS
	case 5:
		if random.IntN(2) == 0 {
			m.Opcode = dns.OpcodeNotify
		}
	}
	return m, source
}

// comesTo is what a client sees, without TTLs and in no order of records; "" is nothing.
func comesTo(m *dns.Msg) string {
	if m == nil {
		return ""
	}
	text := dns.RcodeToString[m.Rcode]
	if m.Truncated {
		text += " tc"
	}
	var records []string
	for _, rr := range m.Answer {
		fields := strings.Fields(strings.ToLower(rr.String()))
		records = append(records, strings.Join(append(fields[:1], fields[2:]...), " "))
	}
	slices.Sort(records)
	return text + " " + strings.Join(records, ", ")
}

// askOnce asks over UDP from source; nil: no answer within the time.
func askOnce(t *testing.T, server netip.AddrPort, source netip.Addr, m *dns.Msg, wait time.Duration) *dns.Msg {
	t.Helper()
	c := dns.Client{Timeout: wait, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: source.AsSlice()}}}
	got, _, err := c.Exchange(m, server.String())
	if err != nil {
		return nil
	}
	return got
}

// TestSamePolicyAsDnsdist: 2,000 mixed queries come to the same with a policy written for this proxy and for a real dnsdist.
func TestSamePolicyAsDnsdist(t *testing.T) {
	certificate := rig.NewAuthority(t).Issue(rig.Leaf{})
	first, second := rig.NewUnbound(t, certificate), rig.NewUnbound(t, certificate)
	second.Tell("other.zone.example. 3600 IN A 192.0.2.99")
	var listed strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&listed, "host%d.listed.test\n", i)
	}
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{
			{URL: "udp://" + first.Do53.String()},
			{URL: "udp://" + second.Do53.String(), Settings: []string{`pools = ["other"]`, fmt.Sprintf(ourPolicy, rig.WriteFile(t, "listed", listed.String()))}},
		},
		Settings: []string{`local = { any = "forward", nonexistent = [] }`},
	}, nil)
	dnsdist := rig.StartDnsdist(t, theirPolicy, first.Do53.String(), "other="+second.Do53.String())

	const queries = 2000
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	type asked struct {
		m            *dns.Msg
		source       netip.Addr
		ours, theirs *dns.Msg
	}
	var all []asked
	for n := range queries {
		m, source := mixed(random, n)
		all = append(all, asked{m: m, source: source})
	}
	work := make(chan *asked)
	done := make(chan struct{})
	const clients = 64
	for range clients {
		go func() {
			for a := range work {
				a.ours = askOnce(t, proxy.Addr, a.source, a.m.Copy(), time.Second)
				a.theirs = askOnce(t, dnsdist.Addr, a.source, a.m.Copy(), time.Second)
			}
			done <- struct{}{}
		}()
	}
	for i := range all {
		work <- &all[i]
	}
	close(work)
	for range clients {
		<-done
	}
	explained := 0
	for i := range all {
		a := &all[i]
		if comesTo(a.ours) != comesTo(a.theirs) { // the machine may have been busy
			a.ours, a.theirs = askOnce(t, proxy.Addr, a.source, a.m.Copy(), 3*time.Second), askOnce(t, dnsdist.Addr, a.source, a.m.Copy(), 3*time.Second)
		}
		ours, theirs := comesTo(a.ours), comesTo(a.theirs)
		seen[strings.Fields(ours + " dropped")[0]]++
		// The one difference: dnsdist gives the records of a rule, of class IN, to any question of the name, whatever its class and opcode. Ours go on
		// to the rules for those.
		other := a.m.Question[0].Qclass != dns.ClassINET || a.m.Opcode != dns.OpcodeQuery
		if ours != theirs && other && ours == "REFUSED " {
			explained++
			continue
		}
		if ours != theirs {
			t.Errorf("%s from %v: ours %q, dnsdist's %q", strings.Join(strings.Fields(a.m.String()), " "), a.source, ours, theirs)
		}
	}
	t.Log(seen, "explained differences:", explained)
	for _, want := range []string{"NOERROR", "NXDOMAIN", "REFUSED", "NOTIMP", "dropped"} {
		if seen[want] < 20 {
			t.Errorf("only %d queries came to %s: that shows little", seen[want], want)
		}
	}

	// The rate limit: 20 at once, then 5 a second, of which a slow machine may let some pass while it asks.
	for name, server := range map[string]netip.AddrPort{"ours": proxy.Addr, "dnsdist's": dnsdist.Addr} {
		began, passed := time.Now(), 0
		for range 60 {
			if got := askOnce(t, server, netip.MustParseAddr("127.9.0.1"), new(dns.Msg).SetQuestion("www.zone.example.", dns.TypeA), 3*time.Second); got != nil && got.Rcode == dns.RcodeSuccess {
				passed++
			}
		}
		if most := 21 + int(5*time.Since(began).Seconds()); passed < 20 || passed > most {
			t.Errorf("%s limit let %d of 60 pass, want 20 to %d", name, passed, most)
		}
	}
	rig.Eventually(t, settleTimeout, "the hits of the rule for listed names are counted", func() bool {
		return proxy.Metrics(t).Sum(t, "sdp_rule_hits_total", `chain="query"`, `rule="listed"`) >= 20
	})
}

// TestPolicyReload: a bad file or a bad set leaves the rules that are in force, and says where it is wrong; a good one takes their place.
func TestPolicyReload(t *testing.T) {
	t.Parallel()
	actor := rig.NewActor(t)
	list := filepath.Join(t.TempDir(), "list")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.bulk.example\n")
	const rule = "\n[[rule]]\nname = \"listed\"\nmatch.set = \"list\"\naction = { type = \"answer\", records = [\"A 192.0.2.77\"] }\n"
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + actor.Addr.String(), Settings: []string{rule}}},
		Settings:  []string{fmt.Sprintf("set.list.file = %q", list)},
	}, nil)
	expect := func(name, address string) {
		t.Helper()
		rig.Eventually(t, 10*time.Second, name+" is "+address, func() bool {
			got := rig.Dig(t, proxy.Addr, name)
			return len(got.Records) == 1 && strings.HasSuffix(got.Records[0], address)
		})
	}
	expect("a.bulk.example", "192.0.2.77")
	expect("b.bulk.example", "192.0.2.1")
	write("b.bulk.example\nc.bulk.example\n")
	expect("c.bulk.example", "192.0.2.77")
	expect("a.bulk.example", "192.0.2.1")
	write("b..bulk.example\n")
	rig.Eventually(t, 10*time.Second, "the bad set is told", func() bool { return len(proxy.LogLines("line=1", "is not a name")) > 0 })
	expect("c.bulk.example", "192.0.2.77")

	text := proxy.Config.Text()
	write("d.bulk.example\n")
	proxy.WriteConfig(t, strings.Replace(text, "type = \"answer\"", "type = \"anwser\"", 1))
	proxy.Signal(1)
	rig.Eventually(t, 10*time.Second, "the bad rule is told", func() bool {
		return len(proxy.LogLines("rule[0].action.type", "anwser")) > 0 && len(proxy.LogLines("reload refused")) > 0
	})
	expect("d.bulk.example", "192.0.2.77")
	proxy.WriteConfig(t, strings.Replace(text, "192.0.2.77", "192.0.2.78", 1))
	proxy.Signal(1)
	expect("d.bulk.example", "192.0.2.78")
}
