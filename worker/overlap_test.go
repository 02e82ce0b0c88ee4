package worker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/rpz"
	"secure-dns-proxy/worker/synth"
)

// What two features do to each other.

// TestManyAnswersInOneDelivery: connections that get several answers of one delivery fill the list of those to be looked at. What they have asked
// meanwhile waits for the end of the turn: handled at once, it would put its answer in the place of the one that is being delivered.
func TestManyAnswersInOneDelivery(t *testing.T) {
	b := newBench(t, 1, func(c *Config, _ *Snapshot) {
		c.TCP.Conns, c.TCP.ConnsPerClient, c.TCP.InFlightPerConn = 2, 2, 2
	})
	up := one(t, b.ask(1, query(1, "other.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, nil, "other.example. 300 IN A 192.0.2.99")))
	first, _ := b.overTCP()
	second, _ := b.overTCP()
	first(query(1, "a.example.", dns.TypeA))
	up = one(t, b.eng.sent)
	second(query(2, "a.example.", dns.TypeA))
	first(query(3, "a.example.", dns.TypeA))
	first(query(4, "other.example.", dns.TypeA)) // has to wait for an answer to one of the two before
	b.ask(5, query(5, "a.example.", dns.TypeA))
	m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))).data)
	if m.Id != 5 || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
		t.Errorf("got %v", m)
	}
}

func rulesOf(t *testing.T, s *Snapshot, rules ...policy.Rule) {
	for i := range rules {
		rules[i].Name = fmt.Sprint("rule", i)
	}
	s.Rules = rules
	if err := s.validate(1); err != nil {
		t.Fatal(err)
	}
}

// TestRefreshIsKept though the last query over TCP was one whose answer is not.
func TestRefreshIsKept(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		rulesOf(t, s, policy.Rule{
			Match:  policy.Match{Selector: policy.Selector{Kind: policy.TCP, Want: true}},
			Action: policy.Action{Do: policy.SkipCache},
		})
	})
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))
	ask, _ := b.overTCP()
	ask(query(2, "b.example.", dns.TypeA))
	b.w.hand(&errand{step: refreshing(cache.Match{Name: wireName("a.example")}, new(uint64))})
	up = one(t, b.turn())
	b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 200 IN A 192.0.2.1")))
	if m := unpack(t, one(t, b.ask(1, query(3, "a.example.", dns.TypeA))).data); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != 200 {
		t.Errorf("got %v, want the refreshed answer", m)
	}
}

// TestRulesKeepFromTheSharedCacheToo: neither it nor what is past its TTL is a way around a rule.
func TestRulesKeepFromTheSharedCacheToo(t *testing.T) {
	for _, chain := range []policy.Chain{policy.ChainQuery, policy.ChainMiss} {
		list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) {
			s.Pools[0].WhenDown, s.StaleMax = Stale, 3600
			rulesOf(t, s, policy.Rule{
				Chain: chain, Action: policy.Action{Do: policy.SkipCache},
				Match: policy.Match{Selector: policy.Selector{Kind: policy.Source, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}},
			})
		})
		list[0].learn("a.example.", 300)
		up := one(t, list[1].ask(2, query(2, "a.example.", dns.TypeA)))
		if up.handle == clientSocket {
			t.Errorf("chain %v: got %v from the cache", chain, unpack(t, up.data))
			continue
		}
		list.pass(400 * time.Second)
		if m := unpack(t, one(t, list[1].turn()).data); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("chain %v: got %v from the cache", chain, m)
		}
	}
}

// TestRulesForAnswersSeeWhatDNS64AsksFor: the A records that AAAA records are made of are not kept for those who ask for them, for no rule has seen them.
func TestRulesForAnswersSeeWhatDNS64AsksFor(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.DNS64, _ = synth.NewDNS64(netip.MustParsePrefix("64:ff9b::/96"), nil)
		rulesOf(t, s, policy.Rule{
			Chain: policy.ChainResponse, Action: refuse(), Match: policy.Match{Selector: policy.Selector{Kind: policy.Answers, Low: 1, High: 100}},
		})
	})
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeAAAA)))
	up = one(t, b.turn(b.answer(up, reply(t, up.data, nil))))
	if m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))).data); m.Rcode != dns.RcodeRefused {
		t.Errorf("AAAA: got %v", m)
	}
	if d := one(t, b.ask(1, query(2, "a.example.", dns.TypeA))); d.handle == clientSocket {
		t.Errorf("A: got %v", unpack(t, d.data))
	}
}

// waitingZone is policies whose second zone has to wait for the answer, because of the first one's triggers.
func waitingZone(t *testing.T) *rpz.Set {
	set, err := rpz.NewSet([]rpz.Policy{
		{Name: "first", Tag: 1, Zone: compiled(t, "first.test.", "$TTL 60\n@ SOA ns mail 1 60 60 60 60\n24.0.2.0.192.rpz-ip CNAME .\n"), BreakDNSSEC: true},
		{Name: "second", Tag: 2, Zone: compiled(t, "second.test.", "$TTL 60\n@ SOA ns mail 1 60 60 60 60\nx.void.example A 10.0.0.7\n"), BreakDNSSEC: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestPoliciesSeeWhatIsKnownNotToExist: an answer that is made of the NXDOMAIN of a name above is one.
func TestPoliciesSeeWhatIsKnownNotToExist(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) { c.Policies, s.NXDomainCut = waitingZone(t), true })
	up := one(t, b.ask(1, query(1, "void.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) {
		soa, _ := dns.NewRR("example. 300 IN SOA ns.example. mail.example. 1 60 60 60 300")
		m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
	})))
	if m := unpack(t, one(t, b.ask(1, query(2, "y.void.example.", dns.TypeA))).data); m.Rcode != dns.RcodeNameError {
		t.Errorf("below: got %v", m)
	}
	if m := unpack(t, one(t, b.ask(1, query(3, "x.void.example.", dns.TypeA))).data); len(m.Answer) != 1 {
		t.Errorf("with a policy: got %v", m)
	}
}

// TestPoliciesSeeWhatIsGivenForWantOfRoom: an answer past its TTL is one.
func TestPoliciesSeeWhatIsGivenForWantOfRoom(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) {
		c.Slots, c.Policies = SlotsMin, waitingZone(t)
		s.Pools[0].WhenDown, s.StaleMax = Stale, 3600
	})
	up := one(t, b.ask(1, query(1, "held.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, nil, "held.example. 60 IN A 192.0.2.9")))
	b.now += 100 * time.Second
	for i := range SlotsMin {
		b.ask(1, query(uint16(i), fmt.Sprintf("n%d.example.", i), dns.TypeA))
	}
	if m := unpack(t, one(t, b.ask(1, query(99, "held.example.", dns.TypeA))).data); m.Rcode != dns.RcodeNameError || len(m.Answer) != 0 {
		t.Errorf("got %v", m)
	}
}

// TestDelayedQueriesAreNotForgotten when a worker is to end.
func TestDelayedQueriesAreNotForgotten(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		rulesOf(t, s, policy.Rule{Match: policy.Everything(), Action: policy.Action{Do: policy.Delay, Wait: 100 * time.Millisecond}})
		s.Local = local.Spec{Localhost: true}
	})
	b.ask(1, query(1, "localhost.", dns.TypeA))
	c := *b.w.command.Load()
	c.drain = true
	b.w.command.Store(&c)
	if b.turn(); b.w.drained() {
		t.Fatal("ended with a query at rest")
	}
	b.now += 200 * time.Millisecond
	if m := unpack(t, one(t, b.turn()).data); len(m.Answer) != 1 || !b.w.drained() {
		t.Errorf("got %v, drained %v", m, b.w.drained())
	}
}

// TestVerdictOutlivesItsTee: what a rule has a query do beside may end at once, with rules of its own.
func TestVerdictOutlivesItsTee(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Pools = append(s.Pools, defaultPool(1))
		s.Pools[1].Name = "shadow"
		s.Local = local.Spec{PrivateReverse: true}
		s.DNS64, _ = synth.NewDNS64(netip.MustParsePrefix("64:ff9b::/96"), nil)
		rulesOf(t, s,
			policy.Rule{Match: policy.Everything(), Action: policy.Action{Do: policy.Tee, Pool: 1}},
			policy.Rule{Match: policy.Everything(), Action: refuse()},
			policy.Rule{Chain: policy.ChainResponse, Match: policy.Everything(), Action: policy.Action{Do: policy.LimitTTL, High: 5}})
	})
	name, _ := dns.ReverseAddr("64:ff9b::a00:1") // 10.0.0.1
	if m := unpack(t, one(t, b.ask(1, query(1, name, dns.TypePTR))).data); m.Rcode != dns.RcodeRefused || b.w.stats.Tees != 1 {
		t.Errorf("got %v, %d beside", m, b.w.stats.Tees)
	}
}

// TestBlockedSourcesGetNoErrors: who is blocked is so with messages that are no queries as well.
func TestBlockedSourcesGetNoErrors(t *testing.T) {
	b := blocked(t, entryOf(t, "127.0.0.1/32", "", block.Drop, 0))
	notify := query(1, "a.example.", dns.TypeSOA)
	notify.Opcode = dns.OpcodeNotify
	if sent := b.ask(1, notify); len(sent) != 0 || b.w.stats.Blocked[block.Drop] != 1 {
		t.Errorf("got %v", unpack(t, sent[0].data))
	}
	if sent := b.ask(2, notify); len(sent) != 1 {
		t.Errorf("another client: %d datagrams", len(sent))
	}
}
