package worker

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/stream"
)

// limitedBench answers names below invalid. itself and has limits.
func limitedBench(t testing.TB, edit func(*Limits)) *bench {
	return newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Local = local.Spec{Nonexistent: [][]byte{wireName("invalid")}}
		s.Limits.Window, s.Limits.IPv4Bits, s.Limits.IPv6Bits = 15*time.Second, 24, 56
		edit(&s.Limits)
	})
}

// relimit reloads with other limits.
func (b *bench) relimit(edit func(*Limits)) {
	next, snap := *b.w.command.Load(), *b.w.command.Load().snapshot
	edit(&snap.Limits)
	next.snapshot = &snap
	b.w.command.Store(&next)
	b.turn()
}

// Limits come and go with reloads, and so does their memory.
func TestLimitsAreReloaded(t *testing.T) {
	b := limitedBench(t, func(*Limits) {})
	answered := func(n int) (got int) {
		for range n {
			got += len(b.ask(1, query(1, "a.invalid.", dns.TypeA)))
		}
		return got
	}
	if b.w.limiter != nil || answered(50) != 50 {
		t.Fatal("limits without any")
	}
	b.relimit(func(l *Limits) { l.Rates[limit.IPv4Address].PerSecond = 10 })
	if got := answered(50); b.w.limiter == nil || got != 10 {
		t.Errorf("%d answered of 50, want 10", got)
	}
	if got := b.w.stats.Limited[limit.IPv4Address][HeldDropped]; got != 40 {
		t.Errorf("%d counted, want 40", got)
	}
	b.relimit(func(l *Limits) { l.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24")} })
	if got := answered(50); got != 50 {
		t.Errorf("%d answered of 50 to one who is exempt", got)
	}
	b.relimit(func(l *Limits) { l.Rates = [limit.KindCount]limit.Rate{} })
	if got := answered(50); b.w.limiter != nil || got != 50 || b.w.stats.LimitedSources != 0 {
		t.Errorf("%d answered of 50 without limits, %d sources still limited", got, b.w.stats.LimitedSources)
	}
}

// Who is limited is reported when it begins and when it ends.
func TestLimitedSourcesAreReported(t *testing.T) {
	b := limitedBench(t, func(l *Limits) { l.Rates[limit.IPv4Address].PerSecond, l.Rates[limit.NXDomains].PerSecond = 10, 30 })
	g := &Group{workers: []*worker{b.w, nil, b.w}}
	if got := g.Limited(); len(got) != 0 {
		t.Errorf("at first: %v", got)
	}
	for range 20 {
		for _, n := range []int{1, 2, 3, 4} {
			b.ask(n, query(1, "a.invalid.", dns.TypeA))
		}
	}
	b.now += 2 * time.Second
	b.turn()
	want := []LimitedSource{
		{"ipv4_32", netip.MustParsePrefix("127.0.0.1/32"), false},
		{"ipv4_32", netip.MustParsePrefix("127.0.0.2/32"), false},
		{"ipv4_32", netip.MustParsePrefix("127.0.0.3/32"), false},
		{"ipv4_32", netip.MustParsePrefix("127.0.0.4/32"), false},
		{"nxdomains", netip.MustParsePrefix("127.0.0.0/24"), true},
	}
	if got := g.Limited(); !slices.Equal(got, want) || b.w.stats.LimitedSources != 5 {
		t.Errorf("limited: %v, gauge %d", got, b.w.stats.LimitedSources)
	}
	for range 12 {
		b.now += time.Second
		b.turn()
	}
	if got := g.Limited(); len(got) != 0 || b.w.stats.LimitedSources != 0 {
		t.Errorf("afterwards: %v, gauge %d", got, b.w.stats.LimitedSources)
	}
}

// What is told by TC that it is too much has the question, if there was one, and the opcode of the request.
func TestLimitedRequestsOfOtherKinds(t *testing.T) {
	b := limitedBench(t, func(l *Limits) { l.Rates[limit.IPv4Address].PerSecond, l.Action = 1, limit.Truncate })
	notify, empty := query(7, "a.invalid.", dns.TypeSOA), query(8, ".", dns.TypeA)
	notify.Opcode, empty.Question = dns.OpcodeNotify, nil
	empty.SetEdns0(1232, false)
	b.ask(1, query(1, "a.invalid.", dns.TypeA))
	for _, q := range []*dns.Msg{notify, empty} {
		if m := unpack(t, one(t, b.ask(1, q)).data); m.Id != q.Id || !m.Truncated || m.Opcode != q.Opcode || len(m.Question) != 0 && m.Question[0] != q.Question[0] {
			t.Errorf("to %v: got %v", q, m)
		}
	}
}

// overTCP accepts a client and returns how to let it ask, and whether its connection is open.
func (b *bench) overTCP() (ask func(*dns.Msg), open func() bool) {
	id, refusal := b.w.conns.Accept(b.eng.add(-1), client(1), int64(b.now))
	if refusal != stream.RefusalNone {
		b.t.Fatal(refusal)
	}
	ask = func(m *dns.Msg) {
		msg := pack(b.t, m)
		framed := append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
		b.turn(ring.Event{Kind: ring.StreamData, Tag: uint32(id), Data: framed})
	}
	return ask, func() bool { return b.w.live(id) != nil }
}

// Over TCP a client has a quota of its own; beyond it, it is refused, or its connection is closed.
func TestTCPQuota(t *testing.T) {
	for _, action := range []limit.Action{limit.Refuse, limit.Truncate, limit.Drop} {
		b := limitedBench(t, func(l *Limits) {
			l.Rates[limit.TCP].PerSecond, l.Rates[limit.IPv4Address].PerSecond, l.Action, l.Slip = 5, 1, action, 1
		})
		ask, open := b.overTCP()
		for range 5 {
			ask(query(1, "a.invalid.", dns.TypeA))
		}
		if s := b.w.stats; s.Answers[dns.RcodeNameError] != 5 || !open() {
			t.Fatalf("action %d: %d answered within the quota, open %v", action, s.Answers[dns.RcodeNameError], open())
		}
		ask(query(1, "a.invalid.", dns.TypeA))
		s, outcome := b.w.stats, HeldRefused
		if action == limit.Drop {
			outcome = HeldDropped
		}
		if s.Limited[limit.TCP][outcome] != 1 || open() != (action != limit.Drop) || s.Answers[dns.RcodeRefused] != uint64(map[bool]int{true: 1}[open()]) {
			t.Errorf("action %d: held back %v, open %v, answers %v", action, s.Limited[limit.TCP], open(), s.Answers)
		}
		if len(b.ask(1, query(1, "a.invalid.", dns.TypeA))) != 1 || b.w.stats.Answers[dns.RcodeNameError] != 6 {
			t.Errorf("action %d: the same client was not answered over UDP", action)
		}
	}
}

// Neither a query that is admitted nor one that is held back, in any way, costs an allocation.
func TestLimitsAllocateNothing(t *testing.T) {
	for _, action := range []limit.Action{limit.Drop, limit.Refuse, limit.Truncate} {
		b := limitedBench(t, func(l *Limits) {
			for k := range l.Rates {
				l.Rates[k].PerSecond = 100
			}
			l.Action, l.Slip, l.ReplySlip = action, 2, 2
		})
		events := []ring.Event{
			from(1, pack(t, query(1, "a.invalid.", dns.TypeA))),
			from(2, pack(t, asking(2, "b.invalid.", "0102030405060708"))),
			from(3, pack(t, query(1, "a.invalid.", dns.TypeAXFR))),
		}
		b.eng.keep = false
		if n := testing.AllocsPerRun(1000, func() {
			b.eng.events = events
			b.w.turn()
		}); n != 0 {
			t.Errorf("action %d: %v allocations per turn, want 0", action, n)
		}
		held := uint64(0)
		for _, of := range b.w.stats.Limited {
			for _, n := range of {
				held += n
			}
		}
		if held < 2000 {
			t.Errorf("action %d: %d held back, the test shows nothing", action, held)
		}
	}
}

// A client that may not ask at all is not taken for the one before it, who had a cookie.
func TestProofIsForOneQuery(t *testing.T) {
	b := limitedBench(t, func(l *Limits) { l.Rates[limit.Errors].PerSecond = 1 })
	b.w.asked.marks = inflight.Proven // as the query before has left it
	got := 0
	for range 10 {
		got += len(b.ask(1, query(1, "a.invalid.", dns.TypeAXFR)))
	}
	if got != 1 {
		t.Errorf("%d errors told, want 1", got)
	}
}

// Every answer of our own making says why it is what it is (RFC 8914), to those who can be told.
func TestOwnAnswersSayWhy(t *testing.T) {
	edns := func(m *dns.Msg) *dns.Msg {
		m.SetEdns0(1232, false)
		return m
	}
	plain := func(name string, qtype uint16) *dns.Msg { return edns(query(1, name, qtype)) }
	class := plain("a.example.", dns.TypeA)
	class.Question[0].Qclass = dns.ClassHESIOD
	update := plain("a.example.", dns.TypeSOA)
	update.Opcode = dns.OpcodeUpdate
	version := plain("a.example.", dns.TypeA)
	version.IsEdns0().SetVersion(1)
	none := edns(&dns.Msg{})
	malformed := plain("a.example.", dns.TypeA)
	malformed.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "01"}}
	for _, tt := range []struct {
		name  string
		edit  func(*Config, *Snapshot)
		first []*dns.Msg // before it
		ask   *dns.Msg
		rcode int
		code  uint16
	}{
		{name: "opcode", ask: update, rcode: dns.RcodeNotImplemented, code: dns.ExtendedErrorCodeNotSupported},
		{name: "class", ask: class, rcode: dns.RcodeRefused, code: dns.ExtendedErrorCodeNotSupported},
		{name: "transfer", ask: plain("a.example.", dns.TypeAXFR), rcode: dns.RcodeNotImplemented, code: dns.ExtendedErrorCodeNotSupported},
		{name: "EDNS version", ask: version, rcode: dns.RcodeBadVers, code: dns.ExtendedErrorCodeNotSupported},
		{name: "no question", ask: none, rcode: dns.RcodeFormatError, code: dns.ExtendedErrorCodeOther},
		{name: "malformed cookie", edit: withCookies, ask: malformed, rcode: dns.RcodeFormatError, code: dns.ExtendedErrorCodeOther},
		{
			name: "a name that does not exist here", ask: plain("a.invalid.", dns.TypeA), rcode: dns.RcodeNameError, code: 29,
			edit: func(_ *Config, s *Snapshot) { s.Local.Nonexistent = [][]byte{wireName("invalid")} },
		},
		{
			name: "localhost", ask: plain("localhost.", dns.TypeA), code: 29,
			edit: func(_ *Config, s *Snapshot) { s.Local.Localhost = true },
		},
		{
			name: "a private address", ask: plain("1.0.0.10.in-addr.arpa.", dns.TypePTR), rcode: dns.RcodeNameError, code: 29,
			edit: func(_ *Config, s *Snapshot) { s.Local.PrivateReverse = true },
		},
		{
			name: "ANY, one record", ask: plain("a.example.", dns.TypeANY), code: 29,
			edit: func(_ *Config, s *Snapshot) { s.Local.Any = local.AnyHINFO },
		},
		{
			name: "ANY, refused", ask: plain("a.example.", dns.TypeANY), rcode: dns.RcodeRefused, code: dns.ExtendedErrorCodeNotSupported,
			edit: func(_ *Config, s *Snapshot) { s.Local.Any = local.AnyRefused },
		},
		{
			name: "over the limit", ask: plain("a.example.", dns.TypeAXFR), first: []*dns.Msg{plain("a.example.", dns.TypeAXFR)},
			rcode: dns.RcodeRefused, code: dns.ExtendedErrorCodeOther,
			edit: func(_ *Config, s *Snapshot) {
				s.Limits.Rates[limit.IPv4Address].PerSecond, s.Limits.Action = 1, limit.Refuse
			},
		},
		{
			name: "not allowed to ask", ask: plain("a.example.", dns.TypeA), rcode: dns.RcodeRefused, code: dns.ExtendedErrorCodeProhibited,
			edit: func(_ *Config, s *Snapshot) { s.Access.Lists = []AccessList{{}} },
		},
		{
			name: "no room", ask: plain("z.example.", dns.TypeA), first: many(16), rcode: dns.RcodeServerFailure, code: dns.ExtendedErrorCodeOther,
			edit: func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = 16, 16 },
		},
		{
			name: "upstreams at their limit", ask: plain("z.example.", dns.TypeA), first: many(1), rcode: dns.RcodeServerFailure,
			code: dns.ExtendedErrorCodeOther,
			edit: func(_ *Config, s *Snapshot) { s.Pools[0].MaxOutstanding = 1 },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 1, func(c *Config, s *Snapshot) {
				if tt.edit != nil {
					tt.edit(c, s)
				}
			})
			for i, m := range tt.first {
				b.ask(1+i%200, m)
			}
			m := unpack(t, one(t, b.ask(1, tt.ask)).data)
			opt := m.IsEdns0()
			if m.Rcode != tt.rcode || opt == nil {
				t.Fatalf("got %v", m)
			}
			last := opt.Option[len(opt.Option)-1]
			if e, ok := last.(*dns.EDNS0_EDE); !ok || e.InfoCode != tt.code {
				t.Errorf("extended error %v, want code %d", last, tt.code)
			}
		})
	}
}

// many are queries that wait for an upstream.
func many(n int) (list []*dns.Msg) {
	for i := range n {
		list = append(list, query(uint16(i), fmt.Sprintf("n%d.example.", i), dns.TypeA))
	}
	return list
}
