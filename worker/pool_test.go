package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
)

// twoPools has upstream 0 in the default pool and upstream 1 in a pool of its own for corp.example.
func twoPools(edit func(corp *Pool)) func(*Config, *Snapshot) {
	return func(_ *Config, s *Snapshot) {
		corp := defaultPool(1)
		corp.Name, corp.Members, corp.Suffixes = "corp", []int{1}, [][]byte{[]byte("\x04corp\x07example\x00")}
		if edit != nil {
			edit(&corp)
		}
		s.Pools = []Pool{defaultPool(1), corp}
	}
}

// toOf returns the upstream that the worker asks for a name; -1: it answers by itself.
func (b *bench) toOf(name string) (int, sentDatagram) {
	b.t.Helper()
	d := one(b.t, b.ask(1, query(1, name, dns.TypeA)))
	if d.handle == clientSocket {
		return -1, d
	}
	return b.upstreamOfAny(d), d
}

// upstreamOfAny is upstreamOf over all pools, by the order of the snapshot.
func (b *bench) upstreamOfAny(d sentDatagram) int {
	u := b.w.sockets[b.answer(d, nil).Tag&^upstreamTag].upstream
	for i, other := range b.w.adopted.Load().upstreams {
		if other == u {
			return i
		}
	}
	b.t.Fatal("sent to an upstream that is in no pool")
	return -1
}

func TestSuffixesChooseThePool(t *testing.T) {
	b := newBench(t, 2, twoPools(nil))
	for name, want := range map[string]int{"www.example.": 0, "corp.example.": 1, "www.CORP.example.": 1, "xcorp.example.": 0} {
		got, up := b.toOf(name)
		if got != want {
			t.Errorf("%s went to upstream %d, want %d", name, got, want)
		}
		b.turn(b.answer(up, reply(t, up.data, nil, name+" 300 IN A 192.0.2.1")))
		if got, _ = b.toOf(name); got != -1 {
			t.Errorf("%s is not in the cache", name)
		}
	}
	if d, c := b.w.poolStates[0].stats, b.w.poolStates[1].stats; d.Queries != 2 || c.Queries != 2 {
		t.Errorf("queries: default %d, corp %d; want 2, 2", d.Queries, c.Queries)
	}
}

// TestPoolsShareNoAnswers: when a reload gives a name to another pool, what the first one said is not told any more.
func TestPoolsShareNoAnswers(t *testing.T) {
	b := newBench(t, 2, twoPools(nil))
	_, up := b.toOf("www.corp.example.")
	b.turn(b.answer(up, reply(t, up.data, nil, "www.corp.example. 300 IN A 192.0.2.1")))
	next := *b.w.command.Load()
	moved := *next.snapshot
	moved.Pools = []Pool{moved.Pools[0], moved.Pools[1]}
	moved.Pools[1].Suffixes = [][]byte{[]byte("\x05other\x00")}
	next.snapshot = &moved
	next.router, _ = moved.router()
	b.w.command.Store(&next)
	b.turn()
	if got, _ := b.toOf("www.corp.example."); got != 0 {
		t.Errorf("answered by %d, want the default pool asked", got)
	}
}

func TestPoolWithoutCache(t *testing.T) {
	b := newBench(t, 2, twoPools(func(p *Pool) { p.NoCache = true }))
	for range 3 {
		got, up := b.toOf("www.corp.example.")
		if got != 1 {
			t.Fatal("answered from a cache that is off")
		}
		b.turn(b.answer(up, reply(t, up.data, nil, "www.corp.example. 300 IN A 192.0.2.1")))
	}
}

// TestRemovedPool: a query under way in a pool that a reload removes is answered, and the books stay even.
func TestRemovedPool(t *testing.T) {
	b := newBench(t, 2, twoPools(nil))
	_, up := b.toOf("www.corp.example.")
	next := *b.w.command.Load()
	less := *next.snapshot
	less.Pools = less.Pools[:1]
	next.snapshot, next.pools, next.router = &less, next.pools[:1], nil
	b.w.command.Store(&next)
	b.turn()
	if m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil)))).data); m.Rcode != dns.RcodeSuccess {
		t.Errorf("got %v", m)
	}
	for tag, state := range b.w.poolStates {
		if state != nil && state.under != 0 {
			t.Errorf("pool %d: %d exchanges under way", tag, state.under)
		}
	}
}

// TestCaps: of every kind. What is beyond goes to another upstream if one has room, else it is refused at once and counted.
func TestCaps(t *testing.T) {
	for name, test := range map[string]struct {
		edit          func(*Snapshot)
		first, second int // queries that reach each upstream of ten
	}{
		"of one upstream":   {func(s *Snapshot) { s.Upstreams[0].MaxOutstanding = 3 }, 3, 7},
		"of both upstreams": {func(s *Snapshot) { s.Upstreams[0].MaxOutstanding, s.Upstreams[1].MaxOutstanding = 3, 2 }, 3, 2},
		"of the pool":       {func(s *Snapshot) { s.Pools[0].MaxOutstanding = 4 }, 4, 0},
		"of the kind":       {func(s *Snapshot) { s.Transports[transport.UDP].MaxOutstanding = 5 }, 5, 0},
		"of another kind":   {func(s *Snapshot) { s.Transports[transport.TLS].MaxOutstanding = 5 }, 10, 0},
		"the least that there is": {func(s *Snapshot) {
			s.Pools[0].MaxOutstanding, s.Upstreams[0].MaxOutstanding, s.Transports[transport.UDP].MaxOutstanding = 6, 2, 5
		}, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 2, func(_ *Config, s *Snapshot) {
				s.Pools[0].Policy = balance.Sequential
				test.edit(s)
			})
			var ups []sentDatagram
			got, refused := [2]int{}, 0
			for n := range 10 {
				d := one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA)))
				if d.handle == clientSocket {
					m := unpack(t, d.data)
					if m.Rcode != dns.RcodeServerFailure {
						t.Errorf("beyond the cap: %v", m)
					}
					refused++
					continue
				}
				got[b.upstreamOf(d)]++
				ups = append(ups, d)
			}
			if got != [2]int{test.first, test.second} {
				t.Errorf("reached the upstreams: %v, want %d and %d", got, test.first, test.second)
			}
			if p := b.w.poolStates[0].stats; int(p.Limited) != refused || int(b.w.stats.Shed) != refused {
				t.Errorf("%d refused; counted as limited %d, shed %d", refused, p.Limited, b.w.stats.Shed)
			}
			for _, d := range ups { // room again
				b.turn(b.answer(d, reply(t, d.data, nil)))
			}
			if to, _ := b.toOf("again.example."); to != 0 {
				t.Error("no room after all were answered")
			}
		})
	}
}

// TestAdaptiveLimit: an upstream that stops answering gets no more than the least limit, and the other one what is left.
func TestAdaptiveLimit(t *testing.T) {
	for _, adaptive := range []bool{true, false} {
		b := newBench(t, 1, func(c *Config, s *Snapshot) {
			c.Slots, c.Waiters = 4096, 4096
			s.Pools[0].Adaptive, s.Pools[0].RetryPercent = adaptive, 0
			s.QueryTimeout = 10 * time.Second
		})
		for n := range 2000 { // a query each 5 ms, never answered: an attempt is lost after a second
			b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA))
			b.now += 5 * time.Millisecond
		}
		limited := b.w.poolStates[0].stats.Limited
		if adaptive != (limited > 500) {
			t.Errorf("adaptive %v: %d of 2000 queries refused early", adaptive, limited)
		}
	}
}

// down makes an upstream fail until it is down.
func (b *bench) down(i int) {
	b.health[i].Down(fmt.Errorf("unplugged"))
	if b.health[i].Status() != health.Down {
		b.t.Fatal("upstream is not down")
	}
}

func TestWhenDown(t *testing.T) {
	for _, when := range []WhenDown{Best, Stale, ServFail} {
		t.Run(WhenDownNames[when], func(t *testing.T) {
			b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.Pools[0].WhenDown, s.StaleMax = when, 3600 })
			_, up := b.toOf("a.example.")
			b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")))
			b.now += 100 * time.Second
			b.down(0)
			asked := func(name string) (to int, m *dns.Msg) {
				q := query(1, name, dns.TypeA)
				q.SetEdns0(1232, false)
				d := one(t, b.ask(1, q))
				if d.handle != clientSocket {
					return b.upstreamOf(d), nil
				}
				return -1, unpack(t, d.data)
			}
			to, m := asked("a.example.")
			switch when {
			case Best:
				if to != 0 {
					t.Errorf("the upstream that is down was not asked: %v", m)
				}
				return
			case Stale:
				if m == nil || len(m.Answer) != 1 || m.Answer[0].Header().Ttl != staleTTL || code(m) != dns.ExtendedErrorCodeStaleAnswer {
					t.Fatalf("got %v, want the old answer with a TTL of %d and the extended error", m, staleTTL)
				}
				b.now += 2 * time.Hour
				if to, _ = asked("a.example."); to != 0 {
					t.Error("an answer older than cache.max_stale was given")
				}
				if to, _ = asked("unknown.example."); to != 0 {
					t.Error("a name without an old answer is not asked for")
				}
			case ServFail:
				if m == nil || m.Rcode != dns.RcodeServerFailure || code(m) != dns.ExtendedErrorCodeNoReachableAuthority {
					t.Fatalf("got %v, want SERVFAIL with the extended error", m)
				}
			}
		})
	}
}

// code returns the extended error of a message.
func code(m *dns.Msg) uint16 {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 0xffff
}

// TestStaleWhenAllAttemptsFail: the upstream is not known to be down yet, but this query finds out.
func TestStaleWhenAllAttemptsFail(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.Pools[0].WhenDown, s.StaleMax = Stale, 3600 })
	_, up := b.toOf("a.example.")
	b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")))
	b.now += 100 * time.Second
	_, up = b.toOf("a.example.")
	var got []sentDatagram
	for range 35 {
		b.now += 100 * time.Millisecond
		for _, d := range b.turn() {
			if d.handle == clientSocket {
				got = append(got, d)
			}
		}
	}
	if m := unpack(t, one(t, got).data); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != staleTTL {
		t.Errorf("got %v", m)
	}
	if s := b.w.poolStates[0].stats; s.Stale != 1 || s.Failed != 0 {
		t.Errorf("stale %d, failed %d", s.Stale, s.Failed)
	}
}

// TestRaceIsWonByTheFirstGoodAnswer: a SERVFAIL does not win while another is still asked; the losers are given up and counted.
func TestRaceIsWonByTheFirstGoodAnswer(t *testing.T) {
	b := newBench(t, 4, func(_ *Config, s *Snapshot) { s.Pools[0].Policy, s.Pools[0].Fanout = balance.Race, 3 })
	ups := b.ask(1, query(1, "a.example.", dns.TypeA))
	if len(ups) != 3 {
		t.Fatalf("%d upstreams asked, want 3", len(ups))
	}
	if sent := b.turn(b.answer(ups[0], reply(t, ups[0].data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))); len(sent) != 0 {
		t.Fatalf("SERVFAIL set off %d datagrams", len(sent))
	}
	m := unpack(t, one(t, b.turn(b.answer(ups[1], reply(t, ups[1].data, nil, "a.example. 60 IN A 192.0.2.1")))).data)
	if len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
	loser := b.w.active.pools[0].members[b.upstreamOf(ups[2])]
	if loser.stats.Cancelled != 1 || loser.outstanding != 0 || b.w.exchanges.Len() != 0 {
		t.Errorf("the loser: cancelled %d, %d under way; %d exchanges open", loser.stats.Cancelled, loser.outstanding, b.w.exchanges.Len())
	}
	if sent := b.turn(b.answer(ups[2], reply(t, ups[2].data, nil))); len(sent) != 0 {
		t.Error("the loser's answer was sent as well")
	}
	if p := b.w.poolStates[0].stats; p.Racers != 2 || p.Retries != 0 {
		t.Errorf("racers %d, retries %d; want 2, 0", p.Racers, p.Retries)
	}
}

// TestRaceOfAll: with fan-out 0 everyone is asked; when all say SERVFAIL the client is told so at once.
func TestRaceOfAll(t *testing.T) {
	b := newBench(t, 4, func(_ *Config, s *Snapshot) { s.Pools[0].Policy, s.Pools[0].Fanout = balance.Race, 0 })
	ups := b.ask(1, query(1, "a.example.", dns.TypeA))
	if len(ups) != 4 {
		t.Fatalf("%d upstreams asked, want 4", len(ups))
	}
	var events []ring.Event
	for _, up := range ups {
		events = append(events, b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })))
	}
	if m := unpack(t, one(t, b.turn(events...)).data); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", m)
	}
	for i, state := range b.health {
		if state.Status() == health.Down {
			t.Errorf("upstream %d is down for a name that nobody can resolve", i)
		}
	}
}

// TestHedge: a second upstream is asked when the first takes longer than nearly all of its answers did, and either answer will do.
func TestHedge(t *testing.T) {
	for _, budget := range []int{10, 0} {
		b := newBench(t, 2, func(_ *Config, s *Snapshot) { s.Pools[0].Policy, s.Pools[0].HedgePercent = balance.Hedged, budget })
		for n := range 100 { // learn: 20 ms
			up := one(t, b.ask(1, query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA)))
			b.now += 20 * time.Millisecond
			b.turn(b.answer(up, reply(t, up.data, nil)))
		}
		first := one(t, b.ask(1, query(1, "slow.example.", dns.TypeA)))
		b.now += 10 * time.Millisecond
		if sent := b.turn(); len(sent) != 0 {
			t.Fatalf("after half the usual time: %d datagrams", len(sent))
		}
		b.now += 30 * time.Millisecond
		sent := b.turn()
		p := &b.w.poolStates[0].stats
		if budget == 0 {
			if len(sent) != 0 || p.HedgesDenied != 1 {
				t.Errorf("without a budget: %d datagrams, %d denied", len(sent), p.HedgesDenied)
			}
			continue
		}
		second := one(t, sent)
		if b.upstreamOf(second) == b.upstreamOf(first) || p.Hedges != 1 {
			t.Fatalf("hedge to the same upstream, or none counted (%d)", p.Hedges)
		}
		b.now += 5 * time.Millisecond
		if m := unpack(t, one(t, b.turn(b.answer(second, reply(t, second.data, nil)))).data); m.Rcode != dns.RcodeSuccess {
			t.Errorf("got %v", m)
		}
		if u := b.w.active.pools[0].members[b.upstreamOf(first)]; p.HedgeWins != 1 || u.stats.Cancelled != 1 {
			t.Errorf("wins %d, cancelled %d; want 1, 1", p.HedgeWins, u.stats.Cancelled)
		}
	}
}

// TestLateAnswerIsWelcome: the attempt's time is over and another upstream is asked, but the first one answers before it.
func TestLateAnswerIsWelcome(t *testing.T) {
	b := newBench(t, 2, nil)
	first := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	b.now += 1100 * time.Millisecond
	second := one(t, b.turn())
	if b.upstreamOf(first) == b.upstreamOf(second) {
		t.Fatal("asked the same upstream again")
	}
	m := unpack(t, one(t, b.turn(b.answer(first, reply(t, first.data, nil, "a.example. 60 IN A 192.0.2.1")))).data)
	if len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
}

// TestRetryBudget: with 0 percent and the floor used up there are no retries.
func TestRetryBudget(t *testing.T) {
	b := newBench(t, 2, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 512, 512
		s.Pools[0].RetryPercent = 0
	})
	retried := 0
	for n := range 300 {
		up := one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA)))
		d := one(t, b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))))
		if d.handle == clientSocket {
			continue
		}
		retried++
		b.turn(b.answer(d, reply(t, d.data, nil)))
	}
	if want := balance.RetryFloor * 10; retried != want {
		t.Errorf("%d of 300 were retried, want the floor of ten seconds, %d", retried, want)
	}
	if got := b.w.poolStates[0].stats.RetriesDenied; got != 300-uint64(retried) {
		t.Errorf("denied %d", got)
	}
}

// TestBudgetsAreForThoseWhoAreAsked: where nobody is left to be asked, neither a retry nor a hedge costs anything.
func TestBudgetsAreForThoseWhoAreAsked(t *testing.T) {
	b := newBench(t, 2, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 512, 512
		p := &s.Pools[0]
		p.Policy, p.HedgePercent, p.RetryPercent, p.WhenDown = balance.Hedged, 5, 0, ServFail
	})
	b.down(1)
	b.w.active.pools[0].members[1].health.Configure(int64(b.now), func() health.Config {
		c := health.Default()
		c.Manual = health.Avoid
		return c
	}())
	for n := range 300 {
		up := one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA)))
		b.now += 20 * time.Millisecond
		if n > 100 {
			b.now += 20 * time.Millisecond
			if sent := b.turn(); len(sent) != 0 { // the hedge is due
				t.Fatalf("%d datagrams to nobody", len(sent))
			}
		}
		one(t, b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))))
	}
	p := b.w.poolStates[0]
	if p.stats.RetriesDenied != 0 || p.stats.HedgesDenied != 0 || p.stats.Retries != 0 || p.stats.Hedges != 0 {
		t.Errorf("retries %d, denied %d, hedges %d, denied %d; want none", p.stats.Retries, p.stats.RetriesDenied, p.stats.Hedges, p.stats.HedgesDenied)
	}
}

// TestAnnouncedSize: 1232 bytes over UDP, more where no datagram has to hold the answer.
func TestAnnouncedSize(t *testing.T) {
	for scheme, want := range map[transport.Scheme]uint16{transport.UDP: upstreamUDPSize, transport.TCP: streamUDPSize} {
		b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.Upstreams[0].Endpoint.Scheme = scheme })
		sent := b.ask(1, query(1, "a.example.", dns.TypeA))
		var asked []byte
		if scheme == transport.UDP {
			asked = one(t, sent).data
		} else if r, ok := b.w.upstreams[0].lane.Next(); ok {
			asked = r.Query
		}
		if got := unpack(t, asked).IsEdns0().UDPSize(); got != want {
			t.Errorf("%v: %d bytes announced, want %d", scheme, got, want)
		}
		if scheme == transport.TCP {
			continue
		}
		b.turn(b.answer(sent[0], reply(t, asked, func(m *dns.Msg) { m.Truncated = true })))
		if r, ok := b.w.upstreams[0].lane.Next(); !ok || unpack(t, r.Query).IsEdns0().UDPSize() != streamUDPSize {
			t.Error("the query over TCP for a truncated answer announces the size for UDP")
		}
	}
}
