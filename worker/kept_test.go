package worker

import (
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// TestPoolsHaveTTLsOfTheirOwn: the same TTL is kept for 60 s by one pool, for 25 s by the other.
func TestPoolsHaveTTLsOfTheirOwn(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.TTLMax = 60
		corp := defaultPool(1)
		corp.Name, corp.Suffixes, corp.TTLs = "corp", [][]byte{[]byte("\x04corp\x00")}, &TTLBounds{Max: 25, NegativeMin: 20, NegativeMax: 30}
		s.Pools = append(s.Pools, corp)
	})
	for _, c := range []struct {
		name     string
		negative bool
		want     uint32
	}{{"a.example.", false, 60}, {"a.corp.", false, 25}, {"no.example.", true, 10}, {"no.corp.", true, 20}} {
		up := one(t, b.ask(1, query(1, c.name, dns.TypeA)))
		answer := reply(t, up.data, nil, c.name+" 300 IN A 192.0.2.1")
		if c.negative {
			answer = reply(t, up.data, func(m *dns.Msg) {
				soa, _ := dns.NewRR(". 10 IN SOA . . 1 1 1 1 10")
				m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
			})
		}
		m := unpack(t, one(t, b.turn(b.answer(up, answer))).data)
		var got uint32
		for _, rr := range append(m.Answer, m.Ns...) {
			got = rr.Header().Ttl
		}
		if got != c.want {
			t.Errorf("%s: TTL %d, want %d", c.name, got, c.want)
		}
	}
}

// TestSameNamesSameTable: a reload that changes other things makes no worker flush.
func TestSameNamesSameTable(t *testing.T) {
	var n never
	if n.set(nil); n.table != nil {
		t.Error("a table of nothing")
	}
	n.set([][]byte{[]byte("\x01a\x00")})
	first := n.table
	if n.set([][]byte{[]byte("\x01a\x00")}); n.table != first || first == nil {
		t.Error("the same names made another table")
	}
	if n.set([][]byte{[]byte("\x01b\x00")}); n.table == first {
		t.Error("other names, the same table")
	}
}

// TestReloadForgetsNamesThatAreNotKept: what there is of them in the cache is not told any more, and is removed.
func TestReloadForgetsNamesThatAreNotKept(t *testing.T) {
	b := newBench(t, 1, nil)
	b.cacheName("a.dyn.example.", "a.dyn.example. 300 IN A 192.0.2.1")
	b.cacheName("b.example.", "b.example. 300 IN A 192.0.2.1")
	next := *b.w.adopted.Load()
	var err error
	if next.neverKept, err = suffixTable([][]byte{[]byte("\x03dyn\x07example\x00")}); err != nil {
		t.Fatal(err)
	}
	b.w.command.Store(&next)
	b.turn() // adopts it
	b.turn()
	if b.hit("a.dyn.example.") || !b.hit("b.example.") {
		t.Error("a.dyn.example is a hit still, or b.example is none")
	}
	for turns := 0; b.w.cache.Stats().Entries != 1; turns++ {
		if b.turn(); turns > 10_000 {
			t.Fatalf("%d entries", b.w.cache.Stats().Entries)
		}
	}
	same := next
	b.w.command.Store(&same)
	before := b.w.stats.CacheFlushes
	b.turn()
	b.turn()
	if b.w.stats.CacheFlushes != before {
		t.Error("flushed again although nothing has changed")
	}
}

// TestNeverKeptIsNotTakenOver: what another worker has of such a name, from before that was so, is not told.
func TestNeverKeptIsNotTakenOver(t *testing.T) {
	z := newZone(t)
	snap := testSnapshot(z.endpoint(transport.UDP))
	snap.SharedPercent = 25
	g, addrs := serve(t, testConfig(t, BackendMmsg), snap)
	exchange(t, "udp", addrs[0], query(1, "a.dyn.test.", dns.TypeTXT))
	next := *snap
	next.NeverKept = [][]byte{[]byte("\x03dyn\x04test\x00")}
	if err := g.Reload(&next); err != nil {
		t.Fatal(err)
	}
	asked := z.queries.Load()
	const more = 12 // by both workers
	for range more {
		exchange(t, "udp", addrs[0], query(1, "a.dyn.test.", dns.TypeTXT))
	}
	if n := z.queries.Load() - asked; n != more {
		t.Errorf("%d of %d queries were asked for", n, more)
	}
}
