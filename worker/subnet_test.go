package worker

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/subnet"
)

// subnetBench is a worker that adds the networks of clients, loopback ones too.
func subnetBench(t testing.TB) *bench {
	return newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Pools[0].Subnet = subnet.Spec{Mode: subnet.Add, IPv4: 24, IPv6: 56, Private: true}
	})
}

// withSubnet is a query with an ECS option.
func withSubnet(name, network string) *dns.Msg {
	m := query(1, name, dns.TypeA)
	addOption(m.SetEdns0(1232, false).IsEdns0(), "subnet", network)
	return m
}

// subnetIn is the ECS option of a message; "": none.
func subnetIn(m *dns.Msg) string {
	for _, option := range m.IsEdns0().Option {
		if o, ok := option.(*dns.EDNS0_SUBNET); ok {
			return o.String()
		}
	}
	return ""
}

// TestSubnetOverTCP: what is fetched over TCP because its answer did not fit is asked for with the network too.
func TestSubnetOverTCP(t *testing.T) {
	b := subnetBench(t)
	up := one(t, b.ask(1, withSubnet("big.example.", "192.0.2.0/24")))
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Truncated = true; echo(t, m, up.data, "24") })))
	lane := b.w.upstreams[0].lane
	r, ok := lane.Next()
	if !ok {
		t.Fatal("nothing was submitted to the TCP lane")
	}
	if got := subnetIn(unpack(t, r.Query)); got != "192.0.2.0/24/0" {
		t.Fatalf("over TCP it is told %q", got)
	}
	lane.Answer(r.Slot, r.Gen, reply(t, r.Query, func(m *dns.Msg) { echo(t, m, r.Query, "16") }, "big.example. 60 IN A 198.51.100.1"))
	lane.Publish()
	if got := subnetIn(unpack(t, one(t, b.turn()).data)); got != "192.0.2.0/24/16" {
		t.Errorf("the client is told %q", got)
	}
}

// TestSubnetOfLaneAnswer: RFC 7871 §7.3: over a connection, where nothing is forged, an answer with another network is the upstream's fault.
func TestSubnetOfLaneAnswer(t *testing.T) {
	b := subnetBench(t)
	up := one(t, b.ask(1, query(1, "big.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Truncated = true })))
	u := b.w.upstreams[0]
	r, _ := u.lane.Next()
	u.lane.Answer(r.Slot, r.Gen, reply(t, r.Query, func(m *dns.Msg) { addOption(m.IsEdns0(), "subnet", "192.0.9.0/24/24") }, "big.example. 60 IN A 203.0.113.66"))
	u.lane.Publish()
	for _, d := range b.turn() {
		if d.handle == clientSocket && unpack(t, d.data).Rcode != dns.RcodeServerFailure {
			t.Errorf("the client gets %v", unpack(t, d.data))
		}
	}
	if u.stats.Rejected != 1 {
		t.Errorf("%d rejected, want 1", u.stats.Rejected)
	}
}

// TestSubnetFigures: what is kept, and what is not because one name has too many networks.
func TestSubnetFigures(t *testing.T) {
	b := subnetBench(t)
	for i := range 3 {
		addr := netip.AddrFrom4([4]byte{192, 0, byte(i), 0})
		up := one(t, b.ask(1, withSubnet("a.example.", addr.String()+"/24")))
		b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, "24") }, "a.example. 60 IN A 198.51.100.1")))
	}
	if s := &b.w.stats; s.SubnetsKept != 3 || s.SubnetsUnkept != 0 {
		t.Errorf("%d kept, %d not", s.SubnetsKept, s.SubnetsUnkept)
	}
	plain := func() uint64 {
		var q wire.Query
		var space [wire.KeyBytesMax]byte
		wire.ParseQuery(pack(t, query(1, "a.example.", dns.TypeA)), &q)
		return wire.Hash(b.w.seed, q.Key(&space))
	}()
	for range subnet.NetworksMax {
		b.w.scopes.Keep(plain, wire.FamilyIPv4, 24, 24, b.w.seconds())
	}
	for range 2 {
		up := one(t, b.ask(1, withSubnet("a.example.", "198.51.100.0/24"))) // asked both times: not kept
		d := one(t, b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, "24") }, "a.example. 60 IN A 198.51.100.1"))))
		if got := subnetIn(unpack(t, d.data)); got != "198.51.100.0/24/24" {
			t.Errorf("the client is told %q", got)
		}
	}
	if got := b.w.stats.SubnetsUnkept; got != 2 {
		t.Errorf("%d not kept, want 2", got)
	}
}

// TestReloadEndsTailoring: after a reload to strip nothing is told any more, though the same lookups are used again.
func TestReloadEndsTailoring(t *testing.T) {
	b := subnetBench(t)
	up := one(t, b.ask(1, withSubnet("a.example.", "192.0.2.0/24")))
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, "24") }, "a.example. 60 IN A 198.51.100.1")))
	next := *b.w.adopted.Load()
	changed := *next.snapshot
	changed.Pools = slices.Clone(changed.Pools)
	changed.Pools[0].Subnet = subnet.Spec{}
	next.snapshot = &changed
	b.w.command.Store(&next)
	b.turn()
	up = one(t, b.ask(1, withSubnet("a.example.", "192.0.2.0/24")))
	if got := subnetIn(unpack(t, up.data)); got != "" {
		t.Fatalf("the upstream is told %q", got)
	}
	d := one(t, b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 60 IN A 198.51.100.2"))))
	if got := subnetIn(unpack(t, d.data)); got != "" {
		t.Errorf("the client is told %q", got)
	}
	if d := one(t, b.ask(1, withSubnet("a.example.", "192.0.2.0/24"))); d.handle != clientSocket {
		t.Error("not from the cache")
	}
}

// TestSubnetHitAllocatesNothing: of an answer for a network, with and without an option of the client, and of one for everybody.
func TestSubnetHitAllocatesNothing(t *testing.T) {
	b := subnetBench(t)
	b.tailorNames("24", "0")
	events := []ring.Event{
		from(1, pack(t, query(1, "a0.example.", dns.TypeA))), from(1, pack(t, withSubnet("a0.example.", "127.0.0.0/24"))),
		from(1, pack(t, query(1, "a1.example.", dns.TypeA))),
	}
	b.eng.keep = false
	before := b.w.stats.Hits
	if n := testing.AllocsPerRun(1000, func() {
		b.eng.events = events
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per turn of three hits, want 0", n)
	}
	if got := b.w.stats.Hits - before; got != 3*1001 {
		t.Errorf("%d hits, want 3003", got)
	}
}

// tailorNames has answers to a0.example, a1.example and so on cached with these scopes.
func (b *bench) tailorNames(scopes ...string) {
	b.t.Helper()
	for i, scope := range scopes {
		name := "a" + string(rune('0'+i)) + ".example."
		up := one(b.t, b.ask(1, query(1, name, dns.TypeA)))
		b.turn(b.answer(up, reply(b.t, up.data, func(m *dns.Msg) { echo(b.t, m, up.data, scope) }, name+" 300 IN A 192.0.2.1")))
	}
}

// BenchmarkSubnetHit is one cached answer in a pool that tells networks, parse to reply.
func BenchmarkSubnetHit(b *testing.B) {
	on := subnetBench(b)
	on.tailorNames("24", "0")
	off := newBench(b, 1, nil)
	up := one(b, off.ask(1, query(1, "a0.example.", dns.TypeA)))
	off.turn(off.answer(up, reply(b, up.data, nil, "a0.example. 300 IN A 192.0.2.1")))
	for _, row := range []struct {
		name string
		at   *bench
		msg  *dns.Msg
	}{
		{"off", off, query(1, "a0.example.", dns.TypeA)},
		{"network", on, query(1, "a0.example.", dns.TypeA)},
		{"network-with-option", on, withSubnet("a0.example.", "127.0.0.0/24")},
		{"everybody", on, query(1, "a1.example.", dns.TypeA)},
	} {
		b.Run(row.name, func(b *testing.B) {
			events := make([]ring.Event, 32)
			for i := range events {
				events[i] = from(1, pack(b, row.msg))
			}
			row.at.eng.keep = false
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(events) {
				row.at.eng.events = events
				row.at.w.turn()
			}
		})
	}
}

// TestPaddingIsForEncryptedHops: RFC 7830 §4: a reply over Do53 is not padded, whatever the client and the upstream do.
func TestPaddingIsForEncryptedHops(t *testing.T) {
	b := newBench(t, 1, nil)
	m := query(1, "a.example.", dns.TypeA)
	m.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 20)}}
	up := one(t, b.ask(1, m))
	d := one(t, b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) {
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 400)}}
	}, "a.example. 60 IN A 192.0.2.1"))))
	b.now += time.Second
	for _, d := range []sentDatagram{d, one(t, b.ask(1, m))} {
		if got := unpack(t, d.data).IsEdns0(); got == nil || len(got.Option) != 0 {
			t.Errorf("OPT %v, want one without options", got)
		}
	}
}

// TestSubnetsOutliveRestarts: answers for a network, for exactly one, and for everybody are found after a dump and a load by a process that has
// never heard of their scopes.
func TestSubnetsOutliveRestarts(t *testing.T) {
	b, again := subnetBench(t), subnetBench(t)
	b.tailorNames("16", "0", "32")
	var cursor cache.Cursor
	space := make([]byte, wire.MessageBytesMax)
	var out Restored
	for more := true; more; {
		more = b.w.cache.Walk(&cursor, 1000, nil, func(e *cache.Seen) bool {
			r := make(record, recordBytes(e))
			putRecord(r, e, 0, b.w.seconds())
			again.w.restore(r, space, &out)
			return true
		})
	}
	if out.Answers != 3 {
		t.Fatalf("%+v, want 3 answers", out)
	}
	for name, want := range map[string]string{"a0.example.": "127.0.0.0/24/16", "a1.example.": "127.0.0.0/24/0", "a2.example.": "127.0.0.0/24/25"} {
		d := one(t, again.ask(1, withSubnet(name, "127.0.0.0/24")))
		if d.handle != clientSocket {
			t.Errorf("%s is asked for", name)
		} else if got := subnetIn(unpack(t, d.data)); got != want {
			t.Errorf("%s: the client is told %q, want %q", name, got, want)
		}
	}
}

// TestRefreshTellsNetworks: what is refreshed by hand is asked for with the network that it was for; what is good for everybody waits for somebody.
func TestRefreshTellsNetworks(t *testing.T) {
	b := subnetBench(t)
	b.tailorNames("16", "0")
	var cursor cache.Cursor
	b.eng.sent = nil
	b.w.cache.Walk(&cursor, 1000, nil, func(e *cache.Seen) bool { return b.w.refresh(e) })
	up := one(t, b.eng.sent)
	if got := subnetIn(unpack(t, up.data)); got != "127.0.0.0/16/0" {
		t.Fatalf("the upstream is told %q", got)
	}
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, "16") }, "a0.example. 300 IN A 192.0.2.9")))
	if d := one(t, b.ask(1, query(1, "a0.example.", dns.TypeA))); d.handle != clientSocket || !strings.Contains(unpack(t, d.data).String(), "192.0.2.9") {
		t.Errorf("not refreshed: %v", unpack(t, d.data))
	}
}

// TestWorkersAskOnceForANetwork: a worker that follows another one's question for the same network takes its answer, for that network, and keeps it; one for
// another network asks.
func TestWorkersAskOnceForANetwork(t *testing.T) {
	for _, scope := range []string{"16", "24", "32", "0"} {
		list := newTeam(t, 3, 1, func(_ *Config, s *Snapshot) {
			s.Pools[0].Subnet = subnet.Spec{Mode: subnet.Add, IPv4: 24, IPv6: 56, Private: true}
		})
		up := list.together("a.example.")
		other := one(t, list[1].ask(1, withSubnet("a.example.", "192.0.2.0/24")))
		if other.handle == clientSocket {
			t.Fatal("an answer for another network")
		}
		list[0].turn(list[0].answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, scope) }, "a.example. 300 IN A 198.51.100.1")))
		for _, b := range list[1:] {
			if m := b.gets(); len(m.Answer) != 1 || m.Id != 2 {
				t.Errorf("scope %s: a follower's client got %v", scope, m)
			}
			d := one(t, b.ask(3, query(3, "a.example.", dns.TypeA)))
			if d.handle != clientSocket || len(unpack(t, d.data).Answer) != 1 {
				t.Errorf("scope %s: the follower has not kept it", scope)
			}
		}
	}
}

// TestSharedAnswersForNetworks: what one worker has learned for a network or for everybody, another one that knows of the scope takes from the shared level.
func TestSharedAnswersForNetworks(t *testing.T) {
	list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) {
		s.Pools[0].Subnet = subnet.Spec{Mode: subnet.Add, IPv4: 24, IPv6: 56, Private: true}
	})
	list[0].tailorNames("16", "0")
	if d := one(t, list[1].ask(1, withSubnet("a1.example.", "127.9.0.0/24"))); d.handle != clientSocket || subnetIn(unpack(t, d.data)) != "127.9.0.0/24/0" {
		t.Error("what is good for everybody is not found")
	}
	up := one(t, list[1].ask(1, withSubnet("a0.example.", "127.9.0.0/24"))) // it learns the scope
	list[1].turn(list[1].answer(up, reply(t, up.data, func(m *dns.Msg) { echo(t, m, up.data, "16") }, "a0.example. 300 IN A 192.0.2.9")))
	d := one(t, list[1].ask(1, withSubnet("a0.example.", "127.0.7.0/24")))
	if m := unpack(t, d.data); d.handle != clientSocket || subnetIn(m) != "127.0.7.0/24/16" || !strings.Contains(m.String(), "192.0.2.1") {
		t.Errorf("what the other worker knows of 127.0.0.0/16 is not found: %v", m)
	}
}

// TestRulesAndNetworks: a query that a rule sends to another pool, before the cache or after it, is told there what that pool is told of networks, and so is a
// copy for a third one.
func TestRulesAndNetworks(t *testing.T) {
	for _, chain := range []policy.Chain{policy.ChainQuery, policy.ChainMiss} {
		for _, mode := range []subnet.Mode{subnet.Strip, subnet.Add} { // of the pool that it is sent to
			rule := policy.Rule{Name: "rule", Chain: chain, Match: policy.Everything(), Action: policy.Action{Do: policy.Route, Pool: 1, Extended: wire.EDENone}}
			tee := policy.Rule{Name: "copy", Chain: chain, Match: policy.Everything(), Action: policy.Action{Do: policy.Tee, Pool: 2, Extended: wire.EDENone}}
			b := newBench(t, 3, func(_ *Config, s *Snapshot) {
				s.Pools = []Pool{defaultPool(1), defaultPool(1), defaultPool(1)}
				for i, name := range []string{"default", "other", "third"} {
					s.Pools[i].Name, s.Pools[i].Members = name, []int{i}
				}
				s.Pools[1].Suffixes, s.Pools[2].Suffixes = [][]byte{wireName("other.test")}, [][]byte{wireName("third.test")}
				s.Pools[0].Subnet = subnet.Spec{Mode: subnet.Add - mode, IPv4: 24, IPv6: 56} // the other way round
				s.Pools[1].Subnet = subnet.Spec{Mode: mode, IPv4: 24, IPv6: 56}
				s.Rules = []policy.Rule{tee, rule}
			})
			sent := b.ask(1, withSubnet("a.example.", "192.0.2.0/24"))
			if len(sent) != 2 {
				t.Fatalf("%v, %v: %d queries, want 2", chain, mode, len(sent))
			}
			want := map[subnet.Mode]string{subnet.Strip: "", subnet.Add: "192.0.2.0/24/0"}[mode]
			for _, d := range sent {
				ev := b.answer(d, nil)
				pool := b.w.sockets[ev.Tag&^upstreamTag].upstream.index
				got := subnetIn(unpack(t, d.data))
				if pool == 1 && got != want || pool == 2 && got != "" || pool == 0 {
					t.Errorf("%v, %v: pool %d is told %q", chain, subnet.ModeNames[mode], pool, got)
				}
				if pool != 1 {
					continue
				}
				back := b.turn(b.answer(d, reply(t, d.data, func(m *dns.Msg) {
					if want != "" {
						echo(t, m, d.data, "24")
					}
				}, "a.example. 60 IN A 198.51.100.1")))
				told := map[subnet.Mode]string{subnet.Strip: "", subnet.Add: "192.0.2.0/24/24"}[mode]
				if m := unpack(t, one(t, back).data); subnetIn(m) != told || len(m.IsEdns0().Option) > 1 {
					t.Errorf("%v, %v: the client is told %v, want %q", chain, subnet.ModeNames[mode], m.IsEdns0().Option, told)
				}
			}
		}
	}
}
