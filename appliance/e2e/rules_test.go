package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// witness is an upstream that remembers what it was asked: a real one does not tell.
type witness struct {
	addr netip.AddrPort
	mu   sync.Mutex // guards seen
	seen map[string]*dns.Msg
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(rig.FreeAddr(t)))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{addr: socket.LocalAddr().(*net.UDPAddr).AddrPort(), seen: map[string]*dns.Msg{}}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(to dns.ResponseWriter, query *dns.Msg) {
		name := strings.ToLower(query.Question[0].Name)
		w.mu.Lock()
		w.seen[name] = query
		w.mu.Unlock()
		reply := new(dns.Msg).SetReply(query)
		reply.RecursionAvailable = true
		reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IPv4(192, 0, 2, 5)}}
		_ = to.WriteMsg(reply)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		socket.Close()
		<-ended
	})
	return w
}

// asked returns the last query for name, nil if there was none.
func (w *witness) asked(name string) *dns.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[name+"."]
}

// option returns an EDNS option of the query for name, nil if it had none.
func (w *witness) option(name string, code uint16) dns.EDNS0 {
	if m := w.asked(name); m != nil && m.IsEdns0() != nil {
		for _, o := range m.IsEdns0().Option {
			if o.Option() == code {
				return o
			}
		}
	}
	return nil
}

// ruled says that a rule matched.
const ruled = "YXRRSET"

// selectorRow is a selector, a query that it holds for and one that it does not: dig's arguments. NAME is a name of the row's own, of four labels.
type selectorRow struct {
	selector string
	yes, no  string
	chain    string // "": query
}

func selectorRows(sourcePort uint16) []selectorRow {
	later := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Format("Mon"))
	return []selectorRow{
		{`qname = "NAME"`, "NAME", "x.NAME", ""},
		{`suffix = "NAME"`, "x.y.NAME", "xNAME", ""},
		{`set = "names"`, "listed.NAME", "other.NAME", ""},
		{`set = "clients"`, "-b 127.0.6.1 NAME", "NAME", ""},
		{`regex = "^ads[0-9]+\\.NAME\\.$"`, "ads12.NAME", "ads.NAME", ""},
		{`labels = 6`, "a.b.NAME", "a.NAME", ""},
		{`name_bytes = "60-"`, strings.Repeat("n", 50) + ".NAME", "NAME", ""},
		{`qtype = ["TXT", "TYPE65"]`, "NAME HTTPS", "NAME A", ""},
		{`qclass = "CH"`, "-c CH NAME", "NAME", ""},
		{`opcode = "NOTIFY"`, "+opcode=NOTIFY NAME SOA", "NAME SOA", ""},
		{`rd = false`, "+norecurse NAME", "NAME", ""},
		{`do = true`, "+dnssec NAME", "NAME", ""},
		{`cd = true`, "+cdflag NAME", "NAME", ""},
		{`edns = false`, "+noedns NAME", "+edns NAME", ""},
		{`edns_version = "1-"`, "+edns=1 +noednsneg NAME", "NAME", ""},
		{`edns_option = [65001, "ECS"]`, "+ednsopt=65001:aa NAME", "+ednsopt=65002:aa NAME", ""},
		{`source = ["127.0.5.0/24", "::1"]`, "-b 127.0.5.9 NAME", "-b 127.0.4.9 NAME", ""},
		{fmt.Sprintf(`source_port = %d`, sourcePort), fmt.Sprintf("-b 127.0.0.1#%d NAME", sourcePort), "NAME", ""},
		{`any = [{suffix = "yes.NAME", destination = "127.0.0.0/8"}, {suffix = "no.NAME", destination = "::1"}]`, "yes.NAME", "no.NAME", ""},
		{`any = [{suffix = "yes.NAME", destination_port = "1024-"}, {suffix = "no.NAME", destination_port = "-1023"}]`, "yes.NAME", "no.NAME", ""},
		{`protocol = "tcp"`, "+tcp NAME", "+notcp NAME", ""},
		{`size = "200-"`, "+padding=256 NAME", "NAME", ""},
		{`additionals = 0`, "+noedns NAME", "+edns NAME", ""},
		{`any = [{suffix = "yes.NAME", probability = 1}, {suffix = "no.NAME", probability = 0}]`, "yes.NAME", "no.NAME", ""},
		{`over_rate = {per_second = 0.001, burst = 1}`, "NAME", "NAME", ""}, // the first is not over it
		{`over_source_rate = {per_second = 0.001, burst = 1}`, "NAME", "NAME", ""},
		{`any = [{suffix = "yes.NAME", pool_available = "default"}, {suffix = "no.NAME", not = {pool_available = "default"}}]`, "yes.NAME", "no.NAME", ""},
		{`any = [{suffix = "yes.NAME", pool_outstanding = {pool = "default", exchanges = "0-"}}, {suffix = "no.NAME", pool_outstanding = {pool = "default", exchanges = "1000-"}}]`, "yes.NAME", "no.NAME", ""},
		{`tag = "from-seven"`, "-b 127.0.7.1 NAME", "NAME", ""},
		{fmt.Sprintf(`any = [{suffix = "yes.NAME", time = {from = "00:00", to = "00:00"}}, {suffix = "no.NAME", time = {days = [%q], zone = "UTC"}}]`, later), "yes.NAME", "no.NAME", ""},
		{`all = [{rd = true}, {qtype = "AAAA"}]`, "NAME AAAA", "NAME A", ""},
		{`any = [{cd = true}, {qtype = "AAAA"}]`, "NAME AAAA", "NAME A", ""},
		{`not = {qtype = "A"}`, "NAME AAAA", "NAME A", ""},
		{`rcode = "NXDOMAIN"`, "nothere.NAME.zone.example", "NAME", "response"},
		{`answers = "1-"`, "NAME A", "NAME TXT", "response"},
		{`authorities = "1-"`, "nothere.NAME.zone.example", "NAME", "response"},
	}
}

// exampleKeys returns the keys of a table of proxy.toml.example, which has every one there is.
func exampleKeys(t *testing.T, table, next string) []string {
	t.Helper()
	text, err := os.ReadFile("../../proxy.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n#["+table+"]\n")
	part, _, ends := strings.Cut(rest, next)
	if !found || !ends {
		t.Fatalf("no table %s before %q", table, next)
	}
	var keys []string
	for _, m := range regexp.MustCompile(`(?m)^#([a-z_]+) = `).FindAllStringSubmatch(part, -1) {
		keys = append(keys, m[1])
	}
	if len(keys) < 10 {
		t.Fatalf("table %s: only %v", table, keys)
	}
	return keys
}

// TestSelectorsOverTheWire asks with dig what each selector of rules holds for, and what it does not.
func TestSelectorsOverTheWire(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	rows := selectorRows(rig.FreeAddr(t).Port())
	for _, key := range exampleKeys(t, "rule.match", "#[rule.action]") {
		if !slices.ContainsFunc(rows, func(row selectorRow) bool { return strings.Contains(row.selector, key+" = ") }) {
			t.Errorf("selector %s has no row", key)
		}
	}
	var rules, listed strings.Builder
	rules.WriteString("\n[[rule]]\nname = \"seven\"\nmatch.source = \"127.0.7.0/24\"\naction = { type = \"tag\", set = [\"from-seven\"] }\n")
	own := func(i int, text string) string {
		return strings.ReplaceAll(text, "NAME", fmt.Sprintf("row%d.rules.bulk.example", i))
	}
	for i, row := range rows {
		fmt.Fprintf(&listed, "listed.%s\n", own(i, "NAME"))
		chain := row.chain
		if chain == "" {
			chain = "query"
		}
		within := own(i, `regex = "row`+fmt.Sprint(i)+`\\."`)
		fmt.Fprintf(&rules, "\n[[rule]]\nname = \"row%d\"\nchain = %q\nmatch = { all = [ { %s }, { %s } ] }\naction = { type = \"rcode\", rcode = %q }\n", i, chain, within, own(i, row.selector), ruled)
	}
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + p.unbound.Do53.String(), Settings: []string{rules.String()}}},
		Settings: []string{
			fmt.Sprintf(`set.names = { file = %q, kind = "names" }`, rig.WriteFile(t, "names", listed.String())),
			fmt.Sprintf(`set.clients = { file = %q, kind = "prefixes" }`, rig.WriteFile(t, "clients", "127.0.6.0/24\n")),
		},
	}, nil)
	for i, row := range rows {
		t.Run(row.selector, func(t *testing.T) {
			if got := rig.Dig(t, proxy.Addr, strings.Fields(own(i, row.no))...); got.Status == ruled {
				t.Errorf("holds for %s", own(i, row.no))
			}
			if got := rig.Dig(t, proxy.Addr, strings.Fields(own(i, row.yes))...); got.Status != ruled {
				t.Errorf("does not hold for %s: %s", own(i, row.yes), got.Status)
			}
		})
	}
}

// actions returns every type of action that proxy.toml.example has.
func actions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../proxy.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`# Range ("allow", .*)\. No default`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("no types of actions")
	}
	var types []string
	for _, word := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(m[1], -1) {
		types = append(types, word[1])
	}
	if len(types) < 10 {
		t.Fatalf("only %v", types)
	}
	return types
}

// TestActionsOverTheWire sees with dig what each action of rules does, and at an upstream what it is then asked.
func TestActionsOverTheWire(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	w := newWitness(t)
	var rules strings.Builder
	rule := func(name, action string) {
		fmt.Fprintf(&rules, "\n[[rule]]\nname = %q\nmatch.suffix = \"%s.act.bulk.example\"\naction = { %s }\n", name+fmt.Sprint(rules.Len()), name, action)
	}
	for _, name := range []string{"norecurse", "novalidation", "subnet", "setoption", "stripoption"} {
		rule(name, `type = "pool", pool = "witness", continue = true`)
	}
	rule("allow", `type = "allow"`)
	rule("allow", `type = "refuse"`)
	rule("drop", `type = "drop"`)
	rule("refuse", `type = "refuse", ede = "Prohibited", ede_text = "by order"`)
	rule("rcode", `type = "rcode", rcode = "NXDOMAIN"`)
	rule("truncate", `type = "truncate"`)
	rule("address", `type = "answer", records = ["A 192.0.2.7", "AAAA 2001:db8::7"], record_ttl = "1m"`)
	rule("cname", `type = "answer", records = ["CNAME www.zone.example"]`)
	rule("raw", `type = "answer", records = ["TYPE65280 \\# 2 beef"]`)
	rule("svcb", `type = "answer", records = ["SVCB 1 dns.example alpn=dot port=853", "HTTPS 1 . alpn=h2"]`)
	rule("nxdomain", `type = "negative", rcode = "NXDOMAIN", zone = "bulk.example", record_ttl = "1m"`)
	rule("nodata", `type = "negative", rcode = "NOERROR", zone = "bulk.example"`)
	rule("pool", `type = "pool", pool = "witness"`)
	rule("limit", `type = "rate_limit", per_second = 0.01, burst = 1, then = "refuse"`)
	rule("delay", `type = "delay", wait = "400ms"`)
	rule("skip", `type = "skip_cache"`)
	rule("ede", `type = "ede", ede = "Filtered"`)
	rule("ede", `type = "refuse"`)
	rule("ttl", `type = "ttl", max_ttl = "7s"`)
	rule("tag", `type = "tag", set = ["one", "two"]`)
	rule("tag", `type = "tag", unset = ["one"]`)
	fmt.Fprintf(&rules, "\n[[rule]]\nname = \"one\"\nmatch.tag = \"one\"\naction.type = \"refuse\"\n\n[[rule]]\nname = \"two\"\nmatch.tag = \"two\"\naction = { type = \"rcode\", rcode = %q }\n", ruled)
	rule("norecurse", `type = "no_recurse"`)
	rule("novalidation", `type = "no_validation"`)
	rule("subnet", `type = "client_subnet", client_subnet = "override", network = "192.0.2.0/24"`)
	rule("setoption", `type = "set_option", option = 65001, data = "c0ffee"`)
	rule("stripoption", `type = "strip_option", option = [65002]`)
	rule("log", `type = "log"`)
	rule("tee", `type = "tee", pool = "witness"`)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{
			{URL: "udp://" + p.unbound.Do53.String()},
			{URL: "udp://" + w.addr.String(), Settings: []string{`pools = ["witness"]`, rules.String(), "[pool.witness]"}},
		},
		Settings: []string{`edns.pass_options = [65002, 65003]`},
	}, nil)
	for _, action := range actions(t) {
		if !strings.Contains(rules.String(), fmt.Sprintf("type = %q", action)) {
			t.Errorf("action %s is not tried", action)
		}
	}
	of := func(name string) string { return name + ".act.bulk.example" }
	dig := func(name string, more ...string) rig.Answer {
		t.Helper()
		return rig.Dig(t, proxy.Addr, append([]string{of(name)}, more...)...)
	}
	check := func(name string, holds bool, got rig.Answer) {
		t.Helper()
		if !holds {
			t.Errorf("%s: got\n%s", name, got.Text)
		}
	}
	has := func(a rig.Answer, texts ...string) bool {
		for _, text := range texts {
			if !strings.Contains(a.Text, text) {
				return false
			}
		}
		return true
	}

	got := dig("allow")
	check("allow", got.Status == "NOERROR" && len(got.Records) == 1, got)
	if reply := askOnce(t, proxy.Addr, netip.MustParseAddr("127.0.0.1"), new(dns.Msg).SetQuestion(of("drop")+".", dns.TypeA), 300*time.Millisecond); reply != nil {
		t.Errorf("drop: got %v", reply)
	}
	got = dig("refuse")
	check("refuse", got.Status == "REFUSED" && has(got, "EDE: 18 (Prohibited)", "by order"), got)
	got = dig("rcode")
	check("rcode", got.Status == "NXDOMAIN" && len(got.Records) == 0, got)
	got = dig("truncate", "+ignore")
	check("truncate", got.HasFlag("tc") && len(got.Records) == 0, got)
	got = dig("truncate")
	check("truncate, over TCP", got.Status == "NOERROR" && len(got.Records) == 1, got)
	got = dig("address", "AAAA")
	check("address", len(got.Records) == 1 && got.Records[0] == of("address")+". 60 IN AAAA 2001:db8::7", got)
	got = dig("address", "MX")
	check("address, another type", got.Status == "NOERROR" && len(got.Records) == 0, got)
	got = dig("cname")
	check("cname", len(got.Records) >= 1 && strings.Contains(strings.Join(got.Records, "\n"), "IN CNAME www.zone.example."), got)
	got = dig("raw", "TYPE65280")
	check("raw", has(got, `\# 2 BEEF`), got)
	got = dig("svcb", "SVCB")
	check("svcb", has(got, `SVCB	1 dns.example. alpn="dot" port=853`), got)
	got = dig("svcb", "HTTPS")
	check("https", has(got, `HTTPS	1 . alpn="h2"`), got)
	got = dig("nxdomain")
	check("negative", got.Status == "NXDOMAIN" && len(got.Authority) == 1 && strings.HasPrefix(got.Authority[0], "bulk.example. 60 IN SOA"), got)
	got = dig("nodata")
	check("negative without data", got.Status == "NOERROR" && len(got.Records) == 0 && len(got.Authority) == 1, got)
	got = dig("pool")
	check("pool", len(got.Records) == 1 && strings.HasSuffix(got.Records[0], "192.0.2.5") && w.asked(of("pool")) != nil, got)
	got = dig("limit")
	check("rate_limit, the first", got.Status == "NOERROR", got)
	got = dig("limit")
	check("rate_limit, the second", got.Status == "REFUSED", got)
	before := time.Now()
	got = dig("delay")
	check("delay", got.Status == "NOERROR" && time.Since(before) >= 400*time.Millisecond, got)
	got = dig("ede")
	check("ede", got.Status == "REFUSED" && has(got, "EDE: 17 (Filtered)"), got)
	got = dig("ttl")
	check("ttl", len(got.Records) == 1 && got.TTL() <= 7, got)
	got = dig("tag")
	check("tag", got.Status == ruled, got)

	hits := func() float64 { return proxy.Metrics(t).Sum(t, "sdp_cache_hits_total") }
	dig("skip")
	dig("plain")
	kept := hits()
	dig("skip")
	dig("plain")
	rig.Eventually(t, settleTimeout, "of the second queries the plain one is a hit", func() bool { return hits() >= kept+1 })
	if now := hits(); now != kept+1 {
		t.Errorf("skip_cache: %v hits of two queries, one of which skips the cache", now-kept)
	}

	dig("norecurse")
	if m := w.asked(of("norecurse")); m == nil || m.RecursionDesired {
		t.Errorf("no_recurse: asked %v", m)
	}
	dig("novalidation")
	if m := w.asked(of("novalidation")); m == nil || !m.CheckingDisabled || !m.RecursionDesired {
		t.Errorf("no_validation: asked %v", m)
	}
	dig("subnet")
	if o, ok := w.option(of("subnet"), dns.EDNS0SUBNET).(*dns.EDNS0_SUBNET); !ok || o.SourceNetmask != 24 || !o.Address.Equal(net.IPv4(192, 0, 2, 0)) {
		t.Errorf("client_subnet: asked %v", w.asked(of("subnet")))
	}
	dig("setoption")
	if o, ok := w.option(of("setoption"), 65001).(*dns.EDNS0_LOCAL); !ok || string(o.Data) != "\xc0\xff\xee" {
		t.Errorf("set_option: asked %v", w.asked(of("setoption")))
	}
	dig("stripoption", "+ednsopt=65002:aa", "+ednsopt=65003:bb")
	if w.option(of("stripoption"), 65002) != nil || w.option(of("stripoption"), 65003) == nil {
		t.Errorf("strip_option: asked %v", w.asked(of("stripoption")))
	}
	dig("log")
	rig.Eventually(t, settleTimeout, "the rule writes to the log", func() bool { return len(proxy.LogLines("log.act.bulk.example")) > 0 })
	got = dig("tee")
	check("tee", len(got.Records) == 1 && !strings.HasSuffix(got.Records[0], "192.0.2.5"), got)
	rig.Eventually(t, settleTimeout, "the other pool is asked, too", func() bool { return w.asked(of("tee")) != nil })
}
