package worker

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/relay"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/rpz"
)

var update = flag.Bool("update", false, "write what conversations really say into their files")

// rfcConversation runs one file of testdata/conversations on a worker in virtual time: what clients and upstreams do, and below each, on
// lines that begin with ">", all that the worker sends because of it, with its time.
//
//	config key=value ...            first: what differs from a plain configuration; see configure
//	1.5s client 1 asks NAME TYPE [word ...]    edns do ad cd nord aa tc ra z qr size=N option=N version=N class=CH opcode=NOTIFY nsid
//	                                           serial=N tsig
//	                                           cookie=HEX (cookie=again: the one that it was given last) noquestion questions=2
//	     (a client may be an address instead; more words in rfc_edns_test.go)
//	     upstream 1 answers [RCODE] [aa] [tc] [ad] [| record] [| authority record] [| additional record]
//	                                           to the oldest query that it has not answered
//	     upstream 1 refuses                    by ICMP
//	     (an upstream may forge an answer, and lose a connection: rfc_upstream_test.go)
//	     relay 1 answers ...                   as an upstream does, to the oldest request that is being carried
//	     relay 1 fails FAULT                   instead, with a transport.Fault
//	1.5s                                       nothing but time passes
//
// A line without a time happens at the time of the one before. What time itself sets off (retries, timeouts) stands below the line that
// lets it pass.
type rfcConversation struct {
	*bench
	began   time.Duration
	asked   [][]askedQuery    // by upstream, not answered yet
	clients map[string]string // their names by address
	cookies map[string]string // by client, as given last
	carried []relay.Asked     // requests that have no answer yet
	next    uint16
	out     strings.Builder
}

func TestRFCConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := converse(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("it goes:\n%s\nwant:\n%s", got, text)
			}
		})
	}
}

// converse returns text with what the worker really says.
func converse(t *testing.T, text string) string {
	c := &rfcConversation{clients: map[string]string{}, cookies: map[string]string{}}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ">") {
			continue
		}
		c.out.WriteString(line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
			continue
		case words[0] == "config":
			c.begin(t, words[1:])
			continue
		case c.bench == nil:
			c.begin(t, nil)
		}
		if at, err := time.ParseDuration(words[0]); err == nil {
			c.pass(c.began + at)
			line, words = strings.TrimPrefix(strings.TrimSpace(line), words[0]), words[1:]
		}
		if len(words) > 0 {
			c.event(line, words)
		}
	}
	return c.out.String()
}

// begin makes the worker.
func (c *rfcConversation) begin(t *testing.T, settings []string) {
	upstreams := 1
	for _, s := range settings {
		if n, ok := strings.CutPrefix(s, "upstreams="); ok {
			upstreams, _ = strconv.Atoi(n)
		}
	}
	c.bench = newBench(t, upstreams, func(cfg *Config, s *Snapshot) {
		cfg.Policies, cfg.Beacons = policiesOf(t, settings), beaconsOf(settings)
		s.Pools[0].Policy = balance.Sequential
		s.PassErrors = true
		for _, setting := range settings {
			key, value, _ := strings.Cut(setting, "=")
			c.configure(t, s, key, value)
		}
		if err := s.validate(1); err != nil {
			t.Fatal(err)
		}
	})
	c.began = c.now
	c.asked = make([][]askedQuery, upstreams)
}

// configure applies one setting; they are named as in proxy.toml.
func (c *rfcConversation) configure(t *testing.T, s *Snapshot, key, value string) {
	if name, ok := strings.CutPrefix(key, "limit."); ok { // limit.ipv4_32=RATE
		kind := slices.IndexFunc(limitKinds(), func(k string) bool { return k == name })
		s.Limits.Rates[kind].PerSecond, _ = strconv.Atoi(value)
		s.Limits.Window, s.Limits.IPv4Bits, s.Limits.IPv6Bits = 15*time.Second, 24, 56
		return
	}
	d, _ := time.ParseDuration(value)
	seconds := uint32(d / time.Second)
	switch key {
	case "upstreams", "rpz", "break_dnssec", "beacon":
	case "local":
		s.Local = local.Spec{Localhost: true, PrivateReverse: true, ResolverARPA: true, ApplicationDNS: true}
		for _, name := range strings.Split(value, ",") {
			s.Local.Nonexistent = append(s.Local.Nonexistent, wireName(name))
		}
	case "claimed":
		pool := defaultPool(1)
		pool.Name, pool.Suffixes = "claimed", [][]byte{wireName(value)}
		s.Pools = append(s.Pools, pool)
	case "allow", "deny":
		s.Access.Lists = append(s.Access.Lists, AccessList{})[:1]
		for _, text := range strings.Split(value, ",") {
			list := &s.Access.Lists[0].Allow
			if key == "deny" {
				list = &s.Access.Lists[0].Deny
			}
			*list = append(*list, netip.MustParsePrefix(text))
		}
	case "acl":
		s.Access.Silent = value == "drop"
	case "any":
		s.Local.Any = local.Any(slices.Index(local.AnyNames[:], value))
	case "version":
		s.Local.Version = value
	case "id":
		s.Local.ID = value
	case "notify", "update", "opcodes", "transfers", "signed", "classes":
		r := &s.Requests
		if pool, ok := strings.CutPrefix(value, "pool:"); ok {
			r.Kinds[map[string]RequestKind{"notify": RequestNotify, "update": RequestUpdate, "opcodes": RequestOpcode}[key]] = Course{Forwarded, pool}
			break
		}
		treatment := map[string]Treatment{"notimp": NotImplemented, "refused": Refused, "forward": Forwarded, "notauth": NotAuthorized}[value]
		*map[string]*Treatment{
			"notify": &r.Kinds[RequestNotify].Treatment, "update": &r.Kinds[RequestUpdate].Treatment, "opcodes": &r.Kinds[RequestOpcode].Treatment,
			"transfers": &r.Kinds[RequestTransfer].Treatment, "signed": &r.Kinds[RequestSigned].Treatment, "classes": &r.Classes,
		}[key] = treatment
	case "limit_action":
		s.Limits.Action = limit.Action(slices.Index(limit.ActionNames[:], value))
	case "limit_slip":
		s.Limits.Slip, _ = strconv.Atoi(value)
		s.Limits.ReplySlip = s.Limits.Slip
	case "cookie_required_over":
		s.Limits.CookieOver = value == "true"
	case "nsid":
		s.NSID = value
	case "cookie_secrets":
		s.Cookies.Enabled = true
		for _, text := range strings.Split(value, ",") {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Cookies.Secrets = append(s.Cookies.Secrets, cookie.Secret(raw))
		}
	case "cache":
		if value == "off" {
			s.CacheBytes = 0
		}
	case "never":
		s.NeverKept = [][]byte{wireName(value)}
	case "min_ttl":
		s.TTLMin = seconds
	case "max_ttl":
		s.TTLMax = seconds
	case "max_negative_ttl":
		s.NegativeTTLMax = seconds
	case "min_negative_ttl":
		s.NegativeTTLMin = seconds
	case "failure_ttl":
		s.FailureTTL = d
	case "prefetch":
		s.PrefetchPercent, _ = strconv.Atoi(value)
		s.PrefetchRate = 100
	case "max_failure_ttl":
		s.FailureTTLMax = d
	case "max_stale":
		s.StaleMax = seconds
	case "stale_after":
		s.Pools[0].StaleAfter = d
	case "never_stale":
		s.Pools[0].NeverStale = [][]byte{wireName(value)}
	case "view":
		configureView(t, s, value)
	case "view_rate": // a rule for the first view
		n, _ := strconv.Atoi(value)
		s.Rules = append(s.Rules, policy.Rule{Name: "quota", Views: []int{0}, Match: policy.Everything(), Action: policy.Action{
			Do: policy.Limit, Rate: policy.Rate{PerSecond: float64(n), Burst: float64(n)}, Over: policy.Answer, RCode: wire.RCodeRefused, Extended: wire.ReasonRate,
		}})
	case "shed":
		s.Admission.Shed = admission.Shed(slices.Index(admission.ShedNames[:], value))
	case "max_outstanding":
		s.Pools[0].MaxOutstanding, _ = strconv.Atoi(value)
	case "when_down":
		s.Pools[0].WhenDown = WhenDown(slices.Index(WhenDownNames[:], value))
	default:
		if !configureScrubs(t, s, key, value) && !configureEDNS(s, key, value) && !configureUpstreams(s, key, value) {
			t.Fatalf("no setting %q", key)
		}
	}
}

// configureView adds a view: NAME,PREFIX and then KEY or KEY=VALUE of [view.NAME].
func configureView(t *testing.T, s *Snapshot, value string) {
	words := strings.Split(value, ",")
	v := View{View: policy.View{Name: words[0], Pool: -1, Clients: []netip.Prefix{netip.MustParsePrefix(words[1])}}}
	for _, word := range words[2:] {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "no_cache":
			v.NoCache = true
		case "own_cache":
			v.OwnCache = true
		case "max_outstanding":
			v.MaxOutstanding, _ = strconv.Atoi(value)
		case "shed":
			shed := admission.Shed(slices.Index(admission.ShedNames[:], value))
			v.Shed = &shed
		case "limit_action":
			v.Limits.Action = limit.Action(slices.Index(limit.ActionNames[:], value))
		case "limits": // as [limits], with what comes behind
			v.Limits = new(Limits)
			*v.Limits = s.Limits
		case "shed_stale":
			v.ShedStale = ShedStale(slices.Index(ShedStaleNames[:], value))
		default:
			kind := slices.Index(limitKinds(), key)
			if kind < 0 || v.Limits == nil {
				t.Fatalf("no key %q of a view", key)
			}
			v.Limits.Rates[kind].PerSecond, _ = strconv.Atoi(value)
		}
	}
	s.Views = append(s.Views, v)
}

// policiesOf reads rpz=ZONE[:OVERRIDE],... (testdata/rpz/ZONE.zone) and break_dnssec=off.
func policiesOf(t *testing.T, settings []string) *rpz.Set {
	var policies []rpz.Policy
	for _, setting := range settings {
		names, ok := strings.CutPrefix(setting, "rpz=")
		if !ok {
			continue
		}
		for i, part := range strings.Split(names, ",") {
			name, override, _ := strings.Cut(part, ":")
			text, err := os.ReadFile("testdata/rpz/" + name + ".zone")
			if err != nil {
				t.Fatal(err)
			}
			policies = append(policies, rpz.Policy{
				Name: name, Tag: i, Zone: compiled(t, name+".test.", string(text)), Log: true, BreakDNSSEC: !slices.Contains(settings, "break_dnssec=off"),
				Override: rpz.Override(max(0, slices.Index(rpz.OverrideNames[:], override))),
			})
		}
	}
	if policies == nil {
		return nil
	}
	set, err := rpz.NewSet(policies)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// compiled makes a zone of its text.
func compiled(t testing.TB, origin, text string) *rpz.Zone {
	t.Helper()
	b := rpz.NewBuilder(wireName(origin))
	p := dns.NewZoneParser(strings.NewReader(text), origin, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		buf := make([]byte, 4096)
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		owner, h := wireName(rr.Header().Name), rr.Header()
		if err := b.Add(owner, h.Rrtype, h.Ttl, buf[len(owner)+10:end]); err != nil {
			t.Fatalf("%s: %v", rr, err)
		}
	}
	z, err := b.Zone()
	if err := errors.Join(p.Err(), err); err != nil {
		t.Fatal(err)
	}
	return z
}

// limitKinds names every limit.
func limitKinds() (names []string) {
	for i := range LimitKinds {
		names = append(names, LimitKind(i))
	}
	return names
}

// wireName packs a name.
func wireName(name string) []byte {
	buf := make([]byte, wire.NameBytesMax)
	n, err := dns.PackDomainName(dns.Fqdn(name), buf, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return buf[:n]
}

// pass lets time go on to at, with a turn whenever the worker wants one.
func (c *rfcConversation) pass(at time.Duration) {
	if at < c.now {
		c.t.Fatalf("time runs backwards, to %v", at-c.began)
	}
	for c.now < at {
		next := at
		if timer := c.w.table.NextTimer(int64(c.now)); timer >= 0 {
			next = min(next, max(time.Duration(timer), c.now+time.Millisecond))
		}
		c.now = next
		c.report(c.turn())
	}
}

// event lets somebody do something.
func (c *rfcConversation) event(line string, words []string) {
	if len(words) < 3 {
		c.t.Fatalf("%q: what is that?", line)
	}
	n, _ := strconv.Atoi(words[1])
	switch words[0] + " " + words[2] {
	case "client asks":
		ev := from(n, nil)
		if addr, err := netip.ParseAddr(words[1]); err == nil {
			ev.Path.SetAddr(netip.AddrPortFrom(addr, 1000))
		}
		c.clients[ev.Path.Addr().String()] = words[1]
		c.next++
		ev.Data = c.query(words[1], words[3:])
		c.report(c.turn(ev))
	case "upstream answers":
		d := c.pending(n)
		_, what, _ := strings.Cut(line, "answers")
		c.respond(d, c.reply(d.sentDatagram, what))
	case "relay answers", "relay fails":
		c.carry(line, words)
	case "upstream refuses":
		c.report(c.turn(c.refused(c.pending(n).sentDatagram)))
	case "upstream forges":
		_, what, _ := strings.Cut(line, "forges")
		c.forge(n, what)
	case "upstream loses":
		c.lose(n)
	default:
		c.t.Fatalf("%q: what is that?", line)
	}
}

// pending takes the oldest query off the list of upstream n.
func (c *rfcConversation) pending(n int) askedQuery {
	if n < 1 || n > len(c.asked) || len(c.asked[n-1]) == 0 {
		c.t.Fatalf("upstream %d has not been asked\n%s", n, c.out.String())
	}
	d := c.asked[n-1][0]
	c.asked[n-1] = c.asked[n-1][1:]
	return d
}

// query is a message of client n.
func (c *rfcConversation) query(client string, words []string) []byte {
	m := query(c.next, words[0], dns.StringToType[words[1]])
	var opt *dns.OPT
	edns := func() *dns.OPT {
		if opt == nil {
			opt = m.SetEdns0(1232, false).IsEdns0()
		}
		return opt
	}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		number, _ := strconv.Atoi(value)
		switch name {
		case "edns":
			edns()
		case "do":
			edns().SetDo()
		case "size":
			edns().SetUDPSize(uint16(number))
		case "version":
			edns().SetVersion(uint8(number))
		case "option":
			edns().Option = append(edns().Option, &dns.EDNS0_LOCAL{Code: uint16(number), Data: []byte{1, 2, 3}})
		case "cookie":
			if value == "again" {
				value = c.cookies[client]
			}
			edns().Option = append(edns().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: value})
		case "nsid":
			edns().Option = append(edns().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		case "noquestion":
			m.Question = nil
		case "questions":
			for len(m.Question) < number {
				m.Question = append(m.Question, m.Question[0])
			}
		case "ad":
			m.AuthenticatedData = true
		case "cd":
			m.CheckingDisabled = true
		case "nord":
			m.RecursionDesired = false
		case "aa":
			m.Authoritative = true
		case "tc":
			m.Truncated = true
		case "ra":
			m.RecursionAvailable = true
		case "z":
			m.Zero = true
			edns().SetZ(0x7FFF)
		case "qr":
			m.Response = true
		case "class":
			m.Question[0].Qclass = dns.StringToClass[value]
		case "opcode":
			if m.Opcode = number; number == 0 {
				m.Opcode = dns.StringToOpcode[value]
			}
		case "serial": // of the client's version of the zone: RFC 1995 §3
			m.Ns = append(m.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: words[0], Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".", Serial: uint32(number)})
		case "tsig":
			m.Extra = append(m.Extra, &dns.TSIG{
				Hdr: dns.RR_Header{Name: "key.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256, OrigId: m.Id, MACSize: 2, MAC: "abcd",
			})
		default:
			if !addOption(edns(), name, value) {
				c.t.Fatalf("a query with %q?", word)
			}
		}
	}
	return pack(c.t, m)
}

// reply is an upstream's message.
func (c *rfcConversation) reply(d sentDatagram, what string) []byte {
	parts := strings.Split(what, "|")
	return reply(c.t, d.data, func(m *dns.Msg) {
		for _, word := range strings.Fields(parts[0]) {
			switch word {
			case "aa":
				m.Authoritative = true
			case "tc":
				m.Truncated = true
			case "ad":
				m.AuthenticatedData = true
			case "z":
				m.Zero = true
				m.IsEdns0().SetZ(0x7FFF)
			case "noquestion":
				m.Question = nil
			default:
				rcode, ok := dns.StringToRcode[word]
				if name, value, _ := strings.Cut(word, "="); addOption(m.IsEdns0(), name, value) {
					continue
				}
				if name, value, _ := strings.Cut(word, "="); name == "scope" {
					echo(c.t, m, d.data, value)
					continue
				}
				if !ok {
					c.t.Fatalf("an answer with %q?", word)
				}
				m.Rcode = rcode
			}
		}
		for _, text := range parts[1:] {
			text = strings.TrimSpace(text)
			section := &m.Answer
			if rest, ok := strings.CutPrefix(text, "authority "); ok {
				section, text = &m.Ns, rest
			} else if rest, ok := strings.CutPrefix(text, "additional "); ok {
				section, text = &m.Extra, rest
			}
			rr, err := dns.NewRR(text)
			if err != nil {
				c.t.Fatal(err)
			}
			*section = append(*section, rr)
		}
	})
}

// report says what was sent.
func (c *rfcConversation) report(sent []sentDatagram) {
	for _, d := range sent {
		m := unpack(c.t, d.data)
		rcode := dns.RcodeToString[m.Rcode]
		if m.Rcode == dns.RcodeBadVers { // the number has two names
			rcode = "BADVERS"
		}
		who := fmt.Sprintf("client %s gets %s", c.clients[d.to.String()], rcode)
		if text := cookieOf(m); text != "" {
			c.cookies[c.clients[d.to.String()]] = text
		}
		if d.handle != clientSocket {
			n := c.upstreamOf(d)
			if !slices.ContainsFunc(c.asked[n], func(q askedQuery) bool { return q.handle == d.handle && idOf(q.data) == idOf(d.data) }) { // else: repeated
				c.asked[n] = append(c.asked[n], askedQuery{sentDatagram: d})
			}
			who = fmt.Sprintf("upstream %d is asked", n+1)
		}
		fmt.Fprintf(&c.out, "> %v %s%s\n", c.now-c.began, who, describe(m))
	}
	c.reportLanes()
	c.reportCarried()
}

// cookieOf is the cookie in a message, as hexadecimal digits.
func cookieOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if c, ok := option.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// describe is all of a message but id, rcode and QR.
func describe(m *dns.Msg) string {
	var b strings.Builder
	if m.Opcode != dns.OpcodeQuery {
		b.WriteString(" " + dns.OpcodeToString[m.Opcode])
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{m.Authoritative, "aa"},
		{m.Truncated, "tc"},
		{m.RecursionDesired, "rd"},
		{m.RecursionAvailable, "ra"},
		{m.AuthenticatedData, "ad"},
		{m.CheckingDisabled, "cd"},
		{m.Zero, "z"},
	} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}
	for _, q := range m.Question {
		fmt.Fprintf(&b, " | %s %s", q.Name, dns.TypeToString[q.Qtype])
		if q.Qclass != dns.ClassINET {
			b.WriteString(" " + dns.ClassToString[q.Qclass])
		}
	}
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				b.WriteString(" | " + [...]string{"", "authority ", "additional "}[i] + strings.Join(strings.Fields(rr.String()), " "))
			}
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		fmt.Fprintf(&b, " | edns %d", opt.UDPSize())
		if opt.Do() {
			b.WriteString(" do")
		}
		if opt.Z() != 0 {
			fmt.Fprintf(&b, " z=%#x", opt.Z())
		}
		for _, option := range opt.Option {
			switch e := option.(type) {
			case *dns.EDNS0_COOKIE:
				fmt.Fprintf(&b, " cookie=%s", e.Cookie)
			case *dns.EDNS0_NSID:
				id, _ := hex.DecodeString(e.Nsid)
				fmt.Fprintf(&b, " nsid=%q", id)
			case *dns.EDNS0_EDE:
				fmt.Fprintf(&b, " ede=%q", strings.TrimSuffix(dns.ExtendedErrorCodeToString[e.InfoCode]+": "+e.ExtraText, ": "))
			default:
				b.WriteString(describeOption(option))
			}
		}
	}
	return b.String()
}
