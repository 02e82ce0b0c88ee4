package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/rpz"
	"secure-dns-proxy/worker/subnet"
	"secure-dns-proxy/worker/synth"
)

// medley is a team of workers with a random choice of everything that a worker can do, under random traffic.
type medley struct {
	t       *testing.T
	rng     *rand.Rand
	drops   bool // some features leave queries without an answer
	team    team
	engines []*listeningEngine
	lines   []*tier.Line
	eyes    []*inspectLink
	shown   []shown
	stored  map[string][]byte // by the cache that instances share
	tables  []*shared.Table
	asked   []outstanding
	waiting []tierQuestion
	next    []([]ring.Event) // by worker: what the kernel says in the next turn
	streams []*medleyStream
	queries []medleyQuery // by id
	handles ring.Handle
	errands []*errand
}

type outstanding struct {
	worker int
	up     sentDatagram
}

type tierQuestion struct {
	worker int
	q      tier.Question
}

type shown struct {
	worker    int
	slot, gen uint32
	at        inspect.Point
}

// medleyQuery is a query and what came of it.
type medleyQuery struct {
	name    string
	stream  *medleyStream // nil: UDP
	worker  int
	silent  bool // nobody answers such a message
	replies int
}

// medleyStream is a TCP client.
type medleyStream struct {
	worker int
	handle ring.Handle
	ended  bool
	closed bool
}

// listeningEngine knows which streams the worker reads.
type listeningEngine struct {
	*fakeEngine
	reading map[ring.Handle]bool
	tags    map[ring.Handle]uint32
}

func (e *listeningEngine) Recv(h ring.Handle)               { e.reading[h] = true }
func (e *listeningEngine) SetTag(h ring.Handle, tag uint32) { e.tags[h] = tag }

func newMedley(t *testing.T, seed uint64) *medley {
	m := &medley{t: t, rng: rand.New(rand.NewPCG(seed, 2)), drops: seed%2 == 0, stored: map[string][]byte{}, queries: make([]medleyQuery, 1), handles: 1 << 20}
	features := m.rng.Uint64()
	n := 1 + m.rng.IntN(3)
	m.team = newTeam(t, n, 3, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 16+48*(n%2), 128
		c.TCP.Conns, c.TCP.ConnsPerClient, c.TCP.InFlightPerConn, c.TCP.IdleTimeout = 4, 4, 3, time.Hour
		m.choose(features, s)
	})
	spare, err := shared.New(shared.BytesMin, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spare.Close() })
	m.tables = []*shared.Table{m.team[0].w.command.Load().table, nil, spare}
	for _, b := range m.team {
		e := &listeningEngine{fakeEngine: b.eng, reading: map[ring.Handle]bool{}, tags: map[ring.Handle]uint32{}}
		m.engines, m.next, b.w.eng = append(m.engines, e), append(m.next, nil), e
		line, err := tier.NewLine(func() {}, tier.LineLimits{FillBytes: tier.FillBytesMin, MessageBytesMax: 1024})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { line.Close(context.Background()) })
		m.lines = append(m.lines, line)
		eye, err := newInspectLink(&Inspection{Kept: inspect.KeptMin, Host: inspect.NewHost(inspect.Func(nil), slog.New(slog.DiscardHandler))}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { eye.close(context.Background()) })
		m.eyes = append(m.eyes, eye)
	}
	m.reload()
	m.turnAll()
	return m
}

// choose switches features of a snapshot on or off.
func (m *medley) choose(features uint64, s *Snapshot) {
	rng := rand.New(rand.NewPCG(features, 3))
	on := func() bool { return rng.IntN(2) == 0 }
	if rng.IntN(6) == 0 {
		s.CacheBytes = 0
	} else {
		s.CacheBytes = 4 << 20
	}
	s.Pools = nil
	for i, name := range []string{"default", "other", "shadow"} {
		p := defaultPool(2)
		p.Name, p.Policy, p.Fanout = name, balance.Policy(rng.IntN(len(balance.Names()))), 2
		p.WhenDown = WhenDown(rng.IntN(3))
		if on() {
			p.StaleAfter = 300 * time.Millisecond
		}
		if on() {
			p.Subnet = subnet.Spec{Mode: subnet.Mode(rng.IntN(4)), IPv4: 24, IPv6: 56, Private: on()}
		}
		if rng.IntN(3) == 0 {
			p.MaxOutstanding = 3 * len(m.engines)
		}
		p.RetryPercent = 100 * rng.IntN(2)
		if i > 0 {
			p.Members, p.NoCache = []int{2}, rng.IntN(3) == 0
		}
		s.Pools = append(s.Pools, p)
	}
	s.Pools[1].Suffixes = [][]byte{wireName("other")}
	s.StaleMax, s.PrefetchPercent, s.PrefetchRate = 3600, 50*rng.IntN(2), 100
	s.FailureTTL, s.FailureTTLMax = time.Duration(rng.IntN(2))*200*time.Millisecond, time.Second
	s.NXDomainCut = on()
	if s.DNS64 = nil; on() {
		s.DNS64, _ = synth.NewDNS64(netip.MustParsePrefix("64:ff9b::/96"), nil)
	}
	if s.Rebinding = nil; on() {
		s.Rebinding, _ = synth.NewRebinding(on(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	}
	if s.NeverKept = nil; on() {
		s.NeverKept = [][]byte{wireName("n1.example")}
	}
	s.Cookies.Enabled, s.PassErrors, s.NSID = on(), on(), []string{"", "me"}[rng.IntN(2)]
	if s.PassOptions = nil; on() {
		s.PassOptions = []uint16{65001}
	}
	s.Requests.Classes = []Treatment{Refused, Forwarded, NotImplemented}[rng.IntN(3)]
	s.Local = local.Spec{Localhost: on(), PrivateReverse: on(), Version: []string{"", "one"}[rng.IntN(2)]}
	if s.Census = nil; on() {
		s.Census = &census.Config{IPv4Bits: 32, IPv6Bits: 64, Types: []uint16{dns.TypeA}, Zones: true}
	}
	if s.Access = (Access{}); on() {
		s.Access = Access{Lists: []AccessList{{
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.7/32")},
		}}, Silent: m.drops && on()}
	}
	s.Admission.ShedMisses, s.Admission.Shed = on(), []admission.Shed{admission.ShedServFail, admission.ShedRefuse, admission.ShedTruncate, admission.ShedDrop}[rng.IntN(3+b2i(m.drops))]
	m.chooseLimits(rng, &s.Limits)
	m.chooseRules(rng, s)
	s.Tier = Tier{Budget: testBudget, Breaker: tier.BreakerConfig{Percent: 50, Rest: time.Second, RestMax: 8 * time.Second}}
}

func (m *medley) chooseLimits(rng *rand.Rand, l *Limits) {
	if *l = (Limits{}); rng.IntN(2) == 0 {
		return
	}
	l.IPv4Bits, l.IPv6Bits, l.Window, l.CookieOver = 24, 56, 5*time.Second, rng.IntN(2) == 0
	l.Action = []limit.Action{limit.Refuse, limit.Truncate, limit.Drop}[rng.IntN(2+b2i(m.drops))]
	l.Rates[limit.IPv4Address].PerSecond, l.Rates[limit.TCP].PerSecond = 1+rng.IntN(50), 1+rng.IntN(50)
	l.ReplySlip = 1
	if m.drops {
		l.Slip, l.ReplySlip = rng.IntN(3), rng.IntN(3)
	}
	for k := limit.Answers; int(k) < limit.KindCount; k++ {
		l.Rates[k].PerSecond = rng.IntN(2) * (1 + rng.IntN(20))
	}
}

// chooseRules picks some rules of each chain.
func (m *medley) chooseRules(rng *rand.Rand, s *Snapshot) {
	if s.Rules, s.Views = nil, nil; rng.IntN(3) == 0 {
		return
	}
	if rng.IntN(2) == 0 {
		own, shed := rng.IntN(2) == 0, admission.ShedRefuse
		s.Views = []View{
			{
				View:     policy.View{Name: "low", Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/29")}, Pool: rng.IntN(4) - 1, NoCache: !own && rng.IntN(2) == 0},
				OwnCache: own, MaxOutstanding: rng.IntN(6), ShedStale: ShedStale(rng.IntN(int(shedStales))),
			},
			{View: policy.View{Name: "high", Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.16/29")}, Pool: rng.IntN(4) - 1}, Shed: &shed},
		}
	}
	suffix := func(name string) policy.Match {
		return policy.Match{Selector: policy.Selector{Kind: policy.Suffix, Names: [][]byte{wireName(name)}}}
	}
	perhaps := func(share float64) policy.Match {
		return policy.Match{Selector: policy.Selector{Kind: policy.Chance, Share: share}}
	}
	rcode := func(rcodes ...uint16) policy.Match {
		return policy.Match{Selector: policy.Selector{Kind: policy.RCode, Numbers: rcodes}}
	}
	add := func(chain policy.Chain, match policy.Match, a policy.Action) {
		final := a.Do == policy.Drop || a.Do == policy.Limit && a.Over == policy.Drop
		if rng.IntN(2) == 0 && (m.drops || !final) {
			s.Rules = append(s.Rules, policy.Rule{Name: fmt.Sprint("rule", len(s.Rules)), Views: [][]int{nil, {0}, {1}, {0, 1}}[rng.IntN(1+3*b2i(s.Views != nil && chain != policy.ChainResponse))], Chain: chain, Match: match, Action: a})
		}
	}
	query, miss, response, own := policy.ChainQuery, policy.ChainMiss, policy.ChainResponse, policy.ChainOwn
	for _, chain := range []policy.Chain{query, miss} {
		add(chain, perhaps(0.3), policy.Action{Do: policy.SkipCache})
		add(chain, perhaps(0.3), policy.Action{Do: policy.Tee, Pool: 2})
		add(chain, perhaps(0.1), policy.Action{Do: policy.NoRecurse})
		add(chain, perhaps(0.1), policy.Action{Do: policy.NoVerify})
		add(chain, suffix("n2.example"), policy.Action{Do: policy.Route, Pool: 1, Continue: true})
		add(chain, perhaps(0.1), policy.Action{Do: policy.Route, Pool: 2, Continue: true})
		add(chain, perhaps(0.05), policy.Action{Do: policy.Truncate, Extended: wire.EDENone})
		add(chain, perhaps(0.05), refuse())
		add(chain, perhaps(0.05), policy.Action{Do: policy.Drop})
		add(chain, perhaps(0.1), policy.Action{Do: policy.Extend, Extended: wire.EDEOther})
		add(chain, perhaps(0.1), policy.Action{Do: policy.LimitTTL, High: 2})
	}
	add(query, perhaps(0.2), policy.Action{Do: policy.Delay, Wait: 150 * time.Millisecond})
	add(response, rcode(wire.RCodeNXDomain), refuse())
	add(response, perhaps(0.05), policy.Action{Do: policy.Drop})
	add(response, perhaps(0.05), policy.Action{Do: policy.Truncate, Extended: wire.EDENone})
	add(response, perhaps(0.2), policy.Action{Do: policy.LimitTTL, Low: 1, High: 2})
	add(response, perhaps(0.2), policy.Action{Do: policy.SkipCache})
	add(response, fromNet("127.0.0.0/30"), policy.Action{Do: policy.LimitTTL, High: 5})
	add(response, fromNet("127.0.0.8/29"), policy.Action{Do: policy.Answer, RCode: wire.RCodeRefused, Extended: wire.EDENone})
	add(own, perhaps(0.1), policy.Action{Do: policy.Drop})
	add(own, perhaps(0.1), policy.Action{Do: policy.Truncate, Extended: wire.EDENone})
	add(own, perhaps(0.1), refuse())
}

// reload gives some workers another configuration, other blocks and other policies.
func (m *medley) reload() {
	features := m.rng.Uint64()
	for i, b := range m.team {
		if m.rng.IntN(4) == 0 {
			continue // it comes later
		}
		c := *b.w.command.Load()
		snap := *c.snapshot
		m.choose(features, &snap)
		c.snapshot = &snap
		c.derive(m.t)
		c.table = m.tables[m.rng.IntN(len(m.tables))]
		if c.tier = nil; snap.CacheBytes != 0 && features&1 == 0 {
			c.tier = &tierLink{line: m.lines[i]}
		}
		if c.inspect = nil; features>>5&3 != 0 {
			c.inspect = m.eyes[i]
			snap.Inspection = Inspection{Tags: []uint64{1, 2}}
			for at := range snap.Inspection.Points {
				snap.Inspection.Points[at] = InspectPoint{On: features>>(7+at)&1 != 0, Budget: inspect.BudgetMax, Refuse: features>>(10+at)&1 != 0}
			}
		}
		b.w.command.Store(&c)
		b.w.zones.next.Store(m.zones(features >> 1))
		b.w.blocks.next.Store(m.blocks(features >> 3))
	}
}

// zones is one of some sets of policies: none, one zone, two of which the second has to wait for answers.
func (m *medley) zones(features uint64) *rpz.Set {
	text, err := os.ReadFile("testdata/rpz/first.zone")
	if err != nil {
		m.t.Fatal(err)
	}
	first := string(text)
	if !m.drops {
		first = strings.Join(slices.DeleteFunc(strings.Split(first, "\n"), func(line string) bool { return strings.Contains(line, "rpz-drop") }), "\n")
	}
	policies := []rpz.Policy{{Name: "first", Tag: 1, Zone: compiled(m.t, "first.test.", first), BreakDNSSEC: true}}
	switch features % 3 {
	case 0:
		return nil
	case 1:
		second := "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\nn3.example CNAME .\nn4.example CNAME n5.example.\nn0.example CNAME *.other.\n"
		policies = append(policies, rpz.Policy{Name: "second", Tag: 2, Zone: compiled(m.t, "second.test.", second), BreakDNSSEC: true})
	}
	set, err := rpz.NewSet(policies)
	if err != nil {
		m.t.Fatal(err)
	}
	return set
}

func (m *medley) blocks(features uint64) *block.Table {
	if features&1 == 0 {
		return nil
	}
	actions := []block.Action{block.Refuse, block.Truncate, block.Drop, block.Limit}[:2+2*b2i(m.drops)]
	var entries []*block.Entry
	for i, action := range actions {
		entry, err := block.NewEntry(netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + i)}), 32), nil, action, b2i(action == block.Limit), len(m.team))
		if err != nil {
			m.t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	entry, err := block.NewEntry(netip.Prefix{}, wireName("victim.example"), actions[features>>1%uint64(len(actions))], b2i(actions[features>>1%uint64(len(actions))] == block.Limit), len(m.team))
	if err != nil {
		m.t.Fatal(err)
	}
	table, err := block.New(append(entries, entry))
	if err != nil {
		m.t.Fatal(err)
	}
	return table
}

// turn lets a worker go on, and takes what it sends.
func (m *medley) turn(worker int, events ...ring.Event) {
	b, e := m.team[worker], m.engines[worker]
	events = append(m.next[worker], events...)
	m.next[worker] = nil
	e.streamed, e.closed = nil, nil
	for _, d := range b.turn(events...) {
		if d.handle == clientSocket {
			m.replied(worker, nil, d.data)
		} else {
			m.asked = append(m.asked, outstanding{worker, d})
		}
	}
	for _, d := range e.streamed {
		s := m.streamOf(d.handle)
		for data := d.data; len(data) != 0; {
			n := int(binary.BigEndian.Uint16(data))
			m.replied(worker, s, data[2:2+n])
			data = data[2+n:]
		}
		m.next[worker] = append(m.next[worker], ring.Event{Kind: ring.StreamSent, Handle: d.handle, Tag: e.tags[d.handle]})
	}
	for _, h := range e.closed {
		if s := m.streamOf(h); s != nil {
			s.closed = true
			if e.tags[h] == 0 {
				continue // it was not taken in
			}
			m.next[worker] = slices.DeleteFunc(m.next[worker], func(ev ring.Event) bool { return ev.Handle == h })
			m.next[worker] = append(m.next[worker], ring.Event{Kind: ring.StreamClosed, Handle: h, Tag: e.tags[s.handle]})
		}
	}
	m.askTier(worker)
	line := m.eyes[worker].line
	for a, ok := line.Next(); ok; a, ok = line.Next() {
		var q inspect.Question
		if !q.Parse(a.Raw) {
			m.t.Fatalf("shown % x", a.Raw)
		}
		m.shown = append(m.shown, shown{worker, a.Slot, a.Gen, q.Point})
	}
}

// inspect gives a verdict on something that was shown, or none, in time or late.
func (m *medley) inspect() {
	i := m.rng.IntN(len(m.shown))
	a := m.shown[i]
	m.shown = slices.Delete(m.shown, i, i+1)
	eye := m.eyes[a.worker]
	if n := m.rng.IntN(8 + b2i(m.drops)); n == 0 {
		eye.line.Fail(a.slot, a.gen, transport.FaultProtocol)
	} else {
		v := []inspect.Verdict{{}, {}, {}, {Do: inspect.Once}, {Tags: 3}, inspect.Refused(), {Do: inspect.Answer}, {Do: inspect.Drop}}[n-1]
		if m.rng.IntN(3) == 0 {
			v.Keep = inspect.Keep{Seconds: 1, Labels: uint8(m.rng.IntN(3)), AnyType: true, Who: inspect.Who(m.rng.IntN(3))}
		}
		if v.Do <= inspect.Once && a.at != inspect.AtMiss {
			v.TTLMax = uint16(m.rng.IntN(3))
		}
		eye.line.Give(a.slot, a.gen, v, eye.host.Epoch())
	}
	eye.line.Publish()
	if m.rng.IntN(50) == 0 {
		eye.host.Forget()
	}
	m.turn(a.worker)
}

func (m *medley) turnAll() {
	for i := range m.team {
		m.turn(i)
	}
}

func (m *medley) streamOf(h ring.Handle) *medleyStream {
	for _, s := range m.streams {
		if s.handle == h {
			return s
		}
	}
	return nil
}

// addressOf is the only address below 198.51.0.0/16 that name has.
func addressOf(name string) string {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(name)))
	return fmt.Sprintf("198.51.%d.%d", byte(h.Sum32()>>8), byte(h.Sum32()))
}

// replied checks a reply: it is for the question that was asked, there, and its addresses are those of their names.
func (m *medley) replied(worker int, s *medleyStream, data []byte) {
	id := idOf(data)
	if int(id) >= len(m.queries) {
		m.t.Fatalf("reply to query %d, which nobody asked", id)
	}
	q := &m.queries[id]
	if q.replies++; q.replies > 1 || q.silent || q.worker != worker || q.stream != s {
		m.t.Errorf("query %d for %s: reply %d; nobody answers such: %v; by worker %d, of worker %d; its client's connection: %v", id, q.name, q.replies, q.silent, worker, q.worker, q.stream == s)
	}
	r := unpack(m.t, data)
	if len(r.Question) != 0 && !strings.EqualFold(r.Question[0].Name, q.name) {
		m.t.Errorf("query %d for %s: got %v", id, q.name, r)
	}
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok && strings.HasPrefix(a.A.String(), "198.51.") && a.A.String() != addressOf(a.Hdr.Name) {
			m.t.Errorf("query %d for %s: another name's address in %v", id, q.name, r)
		}
	}
	if len(r.Answer) != 0 && len(r.Question) != 0 && !strings.EqualFold(r.Answer[0].Header().Name, q.name) {
		m.t.Errorf("query %d for %s: an answer for %v", id, q.name, r.Answer)
	}
}

// message makes a query of any kind.
func (m *medley) message(s *medleyStream, worker int) []byte {
	rng := m.rng
	names := []string{
		"n0.example.", "n1.example.", "n2.example.", "n3.example.", "n4.example.", "n5.example.", "x.n0.example.", "a.b.n1.example.", "a.other.", "garden.example.", "walled.example.",
		"gone.example.", "free.example.", "quiet.example.", "stream.example.", "local.example.", "bad.example.", "x1.victim.example.", "localhost.",
		"2.0.51.198.in-addr.arpa.", "1.0.0.127.in-addr.arpa.", "1.0.0.0.0.0.f.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.", "2.0.0.0.3.3.6.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.",
	}
	name := names[rng.IntN(len(names))]
	qtype := []uint16{dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT}[rng.IntN(4)]
	if strings.HasSuffix(name, ".arpa.") {
		qtype = dns.TypePTR
	}
	id := uint16(len(m.queries))
	q := query(id, name, qtype)
	q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData = rng.IntN(10) != 0, rng.IntN(10) == 0, rng.IntN(10) == 0
	known := medleyQuery{name: name, stream: s, worker: worker}
	switch rng.IntN(40) {
	case 0:
		q.Question[0] = dns.Question{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}
		known.name = "version.bind."
	case 1:
		q.Opcode = dns.OpcodeNotify
	case 2:
		q.Question = nil
	case 3:
		q.Question[0].Qtype = dns.TypeAXFR
	case 4:
		q.Response, known.silent = true, true
	case 5:
		q.Question[0].Qclass = dns.ClassCHAOS
	}
	if rng.IntN(3) != 0 {
		q.SetEdns0(uint16(512+rng.IntN(800)), rng.IntN(4) == 0)
		m.options(q.IsEdns0())
	}
	m.queries = append(m.queries, known)
	return pack(m.t, q)
}

// options adds some to a query.
func (m *medley) options(opt *dns.OPT) {
	rng := m.rng
	if rng.IntN(3) == 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("%016x", rng.Uint64())})
	}
	if rng.IntN(3) == 0 {
		bits := uint8(8 * (1 + rng.IntN(3)))
		address := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(rng.IntN(3)), 0}), int(bits)).Masked().Addr()
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: bits, SourceScope: uint8(b2i(rng.IntN(10) == 0)), Address: address.AsSlice()})
	}
	if rng.IntN(6) == 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{byte(rng.IntN(2))}})
	}
	if rng.IntN(6) == 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	}
	if rng.IntN(30) == 0 {
		opt.SetVersion(1)
	}
}

// askUDP sends some queries in one turn.
func (m *medley) askUDP(worker int) {
	var events []ring.Event
	for range 1 + m.rng.IntN(6) {
		events = append(events, from(1+m.rng.IntN(20), m.message(nil, worker)))
	}
	m.turn(worker, events...)
}

// askTCP has a client connect, ask, say that it is done, or go away.
func (m *medley) askTCP(worker int) {
	e := m.engines[worker]
	var open []*medleyStream
	for _, s := range m.streams {
		if s.worker == worker && !s.closed {
			open = append(open, s)
		}
	}
	if len(open) == 0 || len(open) < 6 && m.rng.IntN(4) == 0 {
		m.connect(worker)
		return
	}
	s := open[m.rng.IntN(len(open))]
	switch what := m.rng.IntN(20); {
	case what == 0 && !s.ended:
		s.ended = true
		m.turn(worker, ring.Event{Kind: ring.StreamEnd, Handle: s.handle, Tag: e.tags[s.handle]})
	case what == 1:
		s.ended = true
		m.turn(worker, ring.Event{Kind: ring.StreamEnd, Handle: s.handle, Tag: e.tags[s.handle], Errno: 104})
	case !s.ended && e.reading[s.handle]:
		var data []byte
		for range 1 + m.rng.IntN(6) {
			msg := m.message(s, worker)
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(msg))), msg...)
		}
		cut := m.rng.IntN(len(data))
		e.reading[s.handle] = false
		if m.rng.IntN(2) == 0 { // in two reads
			m.turn(worker, ring.Event{Kind: ring.StreamData, Handle: s.handle, Tag: e.tags[s.handle], Data: data[:cut]})
			data = data[cut:]
			for range 50 {
				if s.closed || e.reading[s.handle] {
					break
				}
				m.pass(100 * time.Millisecond)
			}
			if s.closed || !e.reading[s.handle] {
				s.closed = true // what it asks nobody reads any more: judged no further
				return
			}
			e.reading[s.handle] = false
		}
		m.turn(worker, ring.Event{Kind: ring.StreamData, Handle: s.handle, Tag: e.tags[s.handle], Data: data})
	}
}

func (m *medley) connect(worker int) {
	m.handles++
	s := &medleyStream{worker: worker, handle: m.handles}
	m.streams = append(m.streams, s)
	m.turn(worker, ring.Event{Kind: ring.Accepted, Handle: s.handle, Path: client(1 + m.rng.IntN(20))})
}

// pass lets time go by, in which all workers go on.
func (m *medley) pass(d time.Duration) {
	m.team.pass(d)
	m.turnAll()
}

// answerOne has an upstream answer one query, or not.
func (m *medley) answerOne() {
	i := m.rng.IntN(len(m.asked))
	o := m.asked[i]
	m.asked = slices.Delete(m.asked, i, i+1)
	b, live := m.team[o.worker], false
	for j := range b.w.sockets {
		live = live || b.w.sockets[j].upstream != nil && b.w.sockets[j].handle == o.up.handle
	}
	switch kind := m.rng.IntN(12); {
	case kind == 0 || !live: // lost
	case kind == 1:
		m.turn(o.worker, b.refused(o.up))
	default:
		m.turn(o.worker, b.answer(o.up, reply(m.t, o.up.data, func(r *dns.Msg) { m.fill(r, unpack(m.t, o.up.data), kind) })))
	}
}

// fill makes the answer to a query.
func (m *medley) fill(r, q *dns.Msg, kind int) {
	rng, name := m.rng, q.Question[0].Name
	rr := func(text string, args ...any) dns.RR {
		rr, err := dns.NewRR(fmt.Sprintf(text, args...))
		if err != nil {
			m.t.Fatal(err)
		}
		return rr
	}
	ttl := rng.IntN(4)
	soa := rr("example. %d IN SOA ns.example. mail.example. 1 60 60 60 %d", ttl, ttl)
	if opt := q.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*dns.EDNS0_SUBNET); ok {
				s.SourceScope = uint8(rng.IntN(int(s.SourceNetmask) + 2))
				r.IsEdns0().Option = append(r.IsEdns0().Option, s)
			}
		}
	}
	switch q := q.Question[0]; {
	case kind == 2:
		r.Rcode = []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeFormatError, dns.RcodeNotImplemented}[rng.IntN(4)]
	case kind == 3:
		r.Rcode, r.Ns = dns.RcodeNameError, []dns.RR{soa}
	case kind == 4 || q.Qclass != dns.ClassINET:
		r.Ns = []dns.RR{soa}
	case q.Qtype == dns.TypeA && kind == 5:
		address := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9", "10.0.0.1"}[rng.IntN(5)]
		r.Answer = []dns.RR{rr("%s %d IN A %s", name, ttl, address)}
	case q.Qtype == dns.TypeA:
		r.Answer = []dns.RR{rr("%s %d IN A %s", name, ttl, addressOf(name))}
	case q.Qtype == dns.TypeAAAA && kind < 8:
		r.Answer = []dns.RR{rr("%s %d IN AAAA 2001:db8::1", name, ttl)}
	case q.Qtype == dns.TypeAAAA:
		r.Ns = []dns.RR{soa}
	case q.Qtype == dns.TypePTR:
		r.Answer = []dns.RR{rr("%s %d IN PTR host.example.", name, ttl)}
	default:
		r.Answer = []dns.RR{rr("%s %d IN TXT text", name, ttl)}
	}
}

// askTier takes what a worker wants of the cache that instances share, and what it gives.
func (m *medley) askTier(worker int) {
	line := m.lines[worker]
	for q, ok := line.NextQuestion(); ok; q, ok = line.NextQuestion() {
		q.ID = bytes.Clone(q.ID)
		m.waiting = append(m.waiting, tierQuestion{worker, q})
	}
	for f, ok := line.NextFill(); ok; f, ok = line.NextFill() {
		m.stored[string(f.ID)] = bytes.Clone(f.Msg)
	}
}

func (m *medley) tierAnswers() {
	i := m.rng.IntN(len(m.waiting))
	a := m.waiting[i]
	m.waiting = slices.Delete(m.waiting, i, i+1)
	line := m.lines[a.worker]
	switch m.rng.IntN(5) {
	case 0:
		return
	case 1:
		line.Failed(a.q.Slot, a.q.Gen, transport.FaultClosed)
	default:
		line.Found(a.q.Slot, a.q.Gen, m.stored[string(a.q.ID)])
	}
	line.Publish()
	m.turn(a.worker)
}

// errand gives a worker one.
func (m *medley) errand(worker int) {
	match := cache.Match{Name: wireName([]string{"example", "n0.example", "garden.example"}[m.rng.IntN(3)]), Below: m.rng.IntN(2) == 0}
	e := &errand{}
	switch m.rng.IntN(4) {
	case 0:
		e.step = flushing(match, new(Flushed))
	case 1, 2:
		e.step = refreshing(match, new(uint64))
	default:
		e.step = looking(match, new([]CachedAnswer))
	}
	m.errands = append(m.errands, e)
	m.team[worker].w.hand(e)
}

// step is one random event.
func (m *medley) step() {
	worker := m.rng.IntN(len(m.team))
	switch op := m.rng.IntN(100); {
	case op < 25:
		m.askUDP(worker)
	case op < 45:
		m.askTCP(worker)
	case op < 70 && len(m.asked) > 0:
		m.answerOne()
	case op < 78 && len(m.waiting) > 0:
		m.tierAnswers()
	case op < 84 && len(m.shown) > 0:
		m.inspect()
	case op < 94:
		m.team.pass(time.Duration(m.rng.IntN(200)) * time.Millisecond)
		for i := range m.team {
			if m.rng.IntN(4) != 0 {
				m.turn(i)
			}
		}
	case op < 97:
		m.errand(worker)
	default:
		m.reload()
	}
}

// dropped is how many queries the workers say that they have left without an answer, at most.
func (m *medley) dropped() (n uint64) {
	for _, b := range m.team {
		s := &b.w.stats
		n += s.Drops[DropProhibited] + s.Drops[DropRule] + s.Drops[DropDraining] + s.Blocked[block.Drop] + s.Blocked[block.Limit] + s.Shed
		for k := range s.Limited {
			n += s.Limited[k][HeldDropped]
		}
		if room := b.w.zones.room; room != nil {
			for tag := range room.stats.Hits {
				n += room.stats.Hits[tag][rpz.Drop]
			}
		}
	}
	return n
}

// settled checks that every query has had its reply, or was counted, and that nothing is left.
func (m *medley) settled() {
	t := m.t
	lost := uint64(0)
	for id, q := range m.queries {
		if id == 0 || q.silent || q.replies != 0 || q.stream != nil && q.stream.closed {
			continue
		}
		if lost++; !m.drops {
			t.Errorf("query %d for %s, over TCP %v: no reply", id, q.name, q.stream != nil)
		}
	}
	if most := m.dropped(); m.drops && lost > most {
		t.Errorf("%d queries without a reply, at most %d dropped", lost, most)
	}
	m.team.settled()
	for i, b := range m.team {
		w := b.w
		if w.table.WaiterLen() != 0 || w.exchanges.Len() != 0 || w.rules.rest.used != 0 || len(w.held.free) != len(w.held.places) || w.common.lent != 0 || len(w.chores) != 0 {
			t.Errorf("worker %d: left: %d waiters, %d exchanges over UDP, %d delayed queries, %d lent, %d errands", i, w.table.WaiterLen(), w.exchanges.Len(), w.rules.rest.used, w.common.lent, len(w.chores))
		}
		for _, p := range w.poolStates {
			if p != nil && p.under != 0 {
				t.Errorf("worker %d: %d exchanges of pool %d are never ended", i, p.under, p.tag)
			}
		}
		for _, v := range w.viewStates {
			if v != nil && v.under != 0 {
				t.Errorf("worker %d: %d questions of view %d are never ended", i, v.under, v.tag)
			}
		}
		for _, u := range w.upstreams {
			if u != nil && u.outstanding != 0 {
				t.Errorf("worker %d: %d exchanges with %s are never ended", i, u.outstanding, u.endpoint.Name)
			}
		}
		for id := range w.conns.All() {
			if n := w.conns.Conn(id).InFlight(); n != 0 {
				t.Errorf("worker %d: %d queries of connection %d are never done", i, n, id)
			}
		}
	}
}

// drain ends the workers.
func (m *medley) drain() {
	for i, b := range m.team {
		c := *b.w.command.Load()
		c.drain = true
		b.w.command.Store(&c)
		for range 10 {
			m.turn(i)
		}
		if !b.w.drained() {
			m.t.Errorf("worker %d does not end: %d slots, %d connections", i, b.w.table.Len(), b.w.conns.Len())
		}
	}
}

// TestEverythingTogether has workers with random features go through random traffic, upstreams, reloads and commands. Every query gets exactly one reply
// to its own question, or is counted as dropped where something drops; at the end nothing is left.
func TestEverythingTogether(t *testing.T) {
	for seed := range uint64(80) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newMedley(t, seed)
			for range 600 {
				m.step()
			}
			for range 400 {
				m.pass(100 * time.Millisecond)
			}
			m.settled()
			m.drain()
		})
		if t.Failed() {
			break
		}
	}
}
