package worker

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// fromNet matches clients of a prefix.
func fromNet(prefix string) policy.Match {
	return policy.Match{Selector: policy.Selector{Kind: policy.Source, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}}
}

// tagged matches queries with a tag.
func tagged(bit int) policy.Match {
	return policy.Match{Selector: policy.Selector{Kind: policy.Tagged, Tags: 1 << bit}}
}

// told are rules for responses that look at clients, each in another way, and what sets the tag.
func told() []policy.Rule {
	response, none := policy.ChainResponse, uint16(wire.EDENone)
	tcp := policy.Match{Selector: policy.Selector{Kind: policy.TCP, Want: true}}
	return []policy.Rule{
		{Name: "mark", Match: fromNet("10.3.0.0/16"), Action: policy.Action{Do: policy.SetTags, Set: 1 << 5}},
		{Name: "kept", Chain: response, Match: policy.Everything(), Action: policy.Action{Do: policy.LimitTTL, High: 50}},
		{Name: "source", Chain: response, Match: fromNet("10.1.0.0/16"), Action: policy.Action{Do: policy.Answer, RCode: wire.RCodeRefused, Extended: none}},
		{Name: "view", Chain: response, Views: []int{0}, Match: policy.Everything(), Action: policy.Action{Do: policy.LimitTTL, High: 7}},
		{Name: "tag", Chain: response, Match: tagged(5), Action: policy.Action{Do: policy.Drop}},
		{Name: "tcp", Chain: response, Match: tcp, Action: policy.Action{Do: policy.Extend, Extended: wire.EDEProhibited}},
		{Name: "truncate", Chain: response, Match: fromNet("10.4.0.0/16"), Action: policy.Action{Do: policy.Truncate, Extended: none}},
	}
}

// outcome says what a client got.
func outcome(m *dns.Msg) string {
	switch {
	case m == nil:
		return "nothing"
	case m.Truncated:
		return "tc"
	case m.Rcode != 0:
		return dns.RcodeToString[m.Rcode]
	case len(m.Answer) != 1:
		return "empty"
	}
	return m.Answer[0].String()
}

// TestResponsesByClient: clients that wait for one answer each get their own verdict, and so do those who come when it is in the cache, where it stays what it was.
func TestResponsesByClient(t *testing.T) {
	clients := []struct{ from, want string }{
		{"10.0.0.1:1", "a.test.\t50\tIN\tA\t192.0.2.1"},
		{"10.1.0.1:1", "REFUSED"},
		{"10.2.0.1:1", "a.test.\t7\tIN\tA\t192.0.2.1"},
		{"10.3.0.1:1", "nothing"},
		{"10.4.0.1:1", "tc"},
		{"10.5.0.1:1", "a.test.\t50\tIN\tA\t192.0.2.1"},
	}
	r := newRuledWith(t, []View{viewFor("short", "10.2.0.0/16")}, told()...)
	byID := map[uint16]int{}
	for i, c := range clients {
		if _, asked := r.send("a.test. A from=" + c.from); asked != b2i(i == 0) {
			t.Fatalf("%s: %d asked", c.from, asked)
		}
		byID[r.next] = i
	}
	got := make([]string, len(clients))
	d := r.pending(1)
	for _, sent := range r.turn(r.answer(d.sentDatagram, r.reply(d.sentDatagram, "| a.test. 100 IN A 192.0.2.1"))) {
		got[byID[idOf(sent.data)]] = outcome(unpack(t, sent.data))
	}
	for i, c := range clients {
		if c.want != "nothing" && got[i] != c.want || c.want == "nothing" && got[i] != "" {
			t.Errorf("waiting, %s: got %q, want %q", c.from, got[i], c.want)
		}
		m, asked := r.send("a.test. A from=" + c.from)
		if asked != 0 || outcome(m) != c.want {
			t.Errorf("from the cache, %s: got %q, %d asked, want %q", c.from, outcome(m), asked, c.want)
		}
	}
	m, _ := r.send("a.test. A edns tcp from=10.6.0.1:1")
	if m == nil || m.IsEdns0() == nil || len(m.IsEdns0().Option) != 1 || m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeProhibited {
		t.Errorf("over TCP: %v", m)
	}
	if drops := r.w.stats.Drops[DropRule]; drops != 2 {
		t.Errorf("%d dropped, want 2", drops)
	}
	for i, name := range []string{"mark", "kept", "source", "view", "tag", "tcp", "truncate"} {
		r.w.publishRules()
		want := uint64(2)
		if name == "kept" || name == "tcp" {
			want = 1
		}
		if n := r.w.rules.hits[i].Load(); n != want {
			t.Errorf("rule %s has %d hits, want %d", name, n, want)
		}
	}
}

// TestTagsOfAnOlderPolicy: what tags of a waiting client mean after a reload of the rules nobody knows: it has none.
func TestTagsOfAnOlderPolicy(t *testing.T) {
	r := newRuledWith(t, []View{viewFor("short", "10.2.0.0/16")}, told()...)
	r.send("a.test. A from=10.3.0.1:1")
	c := *r.w.command.Load()
	snap := *c.snapshot
	c.snapshot, snap.Rules = &snap, append(told(), policy.Rule{Name: "more", Match: policy.Everything(), Action: policy.Action{Do: policy.Allow}})
	c.derive(t)
	r.w.command.Store(&c)
	r.turn()
	if m := r.give(1, "| a.test. 100 IN A 192.0.2.1"); outcome(m) != "a.test.\t50\tIN\tA\t192.0.2.1" {
		t.Errorf("a client with an old tag got %q", outcome(m))
	}
	if m, _ := r.send("a.test. A from=10.3.0.2:1"); m != nil {
		t.Errorf("a client with a new tag got %q", outcome(m))
	}
}

// TestHitByClientAllocatesNothing: also where rules are looked at for each client.
func TestHitByClientAllocatesNothing(t *testing.T) {
	r := newRuledWith(t, []View{viewFor("short", "10.2.0.0/16")}, told()...)
	r.send("a.test. A from=10.2.0.1:1")
	r.give(1, "| a.test. 100 IN A 192.0.2.1")
	ev := from(1, r.query("1", []string{"a.test.", "A"}))
	ev.Path.SetAddr(netip.MustParseAddrPort("10.2.0.9:5"))
	events := []ring.Event{ev}
	r.eng.keep = false
	before := r.w.stats.Hits
	if n := testing.AllocsPerRun(1000, func() {
		r.eng.events = events
		r.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per hit, want 0", n)
	}
	if got := r.w.stats.Hits - before; got != 1001 {
		t.Errorf("%d hits, want 1001", got)
	}
}
