package worker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker/cache/shared"
)

// team is several workers of one node in virtual time.
type team []*bench

func newTeam(t testing.TB, workers, upstreams int, edit func(*Config, *Snapshot)) team {
	t.Helper()
	var list team
	n := &node{cpu: -1}
	var err error
	if n.directory, err = shared.NewDirectory(workers * 64); err != nil {
		t.Fatal(err)
	}
	if n.table, err = shared.New(shared.BytesMin, nil); err != nil {
		t.Fatal(err)
	}
	for i := range workers {
		n.workers = append(n.workers, i)
		b := newBench(t, upstreams, func(c *Config, s *Snapshot) {
			c.Workers = workers
			if edit != nil {
				edit(c, s)
			}
		})
		inbox, err := shared.NewInbox(b.eng.waker.Wake)
		if err != nil {
			t.Fatal(err)
		}
		n.inboxes = append(n.inboxes, inbox)
		list = append(list, b)
	}
	g := &Group{nodes: []*node{n}}
	t.Cleanup(func() { // before the workers are released, who do not touch it then
		if err := g.closeNodes(); err != nil {
			t.Error(err)
		}
	})
	for i, b := range list {
		b.w.seed, b.w.index = list[0].w.seed, i
		c := *b.w.command.Load()
		c.node, c.table = n, n.table
		b.w.command.Store(&c)
		b.turn()
	}
	return list
}

// pass lets time go by for all.
func (list team) pass(d time.Duration) {
	for _, b := range list {
		b.now += d
	}
}

// learn has b ask its upstream for a name, which answers with that TTL.
func (b *bench) learn(name string, ttl int) {
	b.t.Helper()
	up := one(b.t, b.ask(1, query(1, name, dns.TypeA)))
	if up.handle == clientSocket {
		b.t.Fatalf("%s was answered without asking", name)
	}
	if m := unpack(b.t, one(b.t, b.turn(b.answer(up, reply(b.t, up.data, nil, fmt.Sprintf("%s %d IN A 192.0.2.1", name, ttl))))).data); len(m.Answer) != 1 {
		b.t.Fatalf("%s: %v", name, m)
	}
}

// answered asks b and returns the TTL of the answer that it has; -1: it asks an upstream.
func (b *bench) answered(name string) int {
	b.t.Helper()
	d := one(b.t, b.ask(2, query(2, name, dns.TypeA)))
	if d.handle != clientSocket {
		return -1
	}
	m := unpack(b.t, d.data)
	if len(m.Answer) != 1 || m.Rcode != dns.RcodeSuccess {
		b.t.Fatalf("%s: %v", name, m)
	}
	return int(m.Answer[0].Header().Ttl)
}

func TestWhatOneWorkerLearnsAllKnow(t *testing.T) {
	list := newTeam(t, 3, 1, nil)
	list[0].learn("a.example.", 300)
	list.pass(100 * time.Second)
	for i, want := range []uint64{0, 1, 1} {
		b := list[i]
		for round := range 2 { // the second time it is the worker's own
			if got := b.answered("a.example."); got != 200 {
				t.Errorf("worker %d, round %d: TTL %d, want 200", i, round, got)
			}
		}
		if s := b.w.stats; s.SharedHits != want || s.Hits != 2 {
			t.Errorf("worker %d: %d hits, %d of them shared, want 2 and %d", i, s.Hits, s.SharedHits, want)
		}
	}
	list.pass(201 * time.Second)
	if got := list[1].answered("a.example."); got != -1 {
		t.Errorf("an answer past its TTL: %d", got)
	}
}

// TestSharedAnswerIsOfOneQuestion: other flags, another pool and other names are other questions.
func TestSharedAnswerIsOfOneQuestion(t *testing.T) {
	list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) {
		other := defaultPool(1)
		other.Name, other.Suffixes, other.NoCache = "other", [][]byte{[]byte("\x05other\x00")}, true
		s.Pools = append(s.Pools, other)
	})
	list[0].learn("a.example.", 300)
	signed := query(1, "a.example.", dns.TypeA)
	signed.SetEdns0(1232, true)
	for name, q := range map[string]*dns.Msg{"DO": signed, "type": query(1, "a.example.", dns.TypeAAAA), "name": query(1, "b.example.", dns.TypeA)} {
		if d := one(t, list[1].ask(1, q)); d.handle == clientSocket {
			t.Errorf("another %s was answered with the same", name)
		}
	}
	list[0].learn("a.other.", 300)
	if got := list[1].answered("a.other."); got != -1 {
		t.Errorf("an answer from a pool without cache: %d", got)
	}
}

func TestSharedStaleAnswer(t *testing.T) {
	list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) {
		s.Pools[0].WhenDown, s.StaleMax = Stale, 3600
	})
	list[0].learn("a.example.", 60)
	list.pass(100 * time.Second)
	b := list[1]
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	m := unpack(t, one(t, b.turn(b.refused(up))).data)
	if len(m.Answer) != 1 || m.Answer[0].Header().Ttl != staleTTL {
		t.Errorf("got %v, want what the other worker had", m)
	}
}

// TestRefreshedOnceForAll: a popular answer near its end, which another worker has just refreshed, is taken over, not asked for.
func TestRefreshedOnceForAll(t *testing.T) {
	list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) { s.PrefetchPercent, s.PrefetchRate = 10, 100 })
	a, b := list[0], list[1]
	a.popular("a.example.")
	for range 2 {
		b.answered("a.example.")
	}
	list.pass(95 * time.Second)
	sent := a.ask(1, query(1, "a.example.", dns.TypeA))
	if len(sent) != 2 {
		t.Fatalf("%d datagrams, want an answer and a refresh", len(sent))
	}
	up := sent[0]
	if up.handle == clientSocket {
		up = sent[1]
	}
	a.turn(a.answer(up, reply(t, up.data, nil, "a.example. 100 IN A 192.0.2.1")))
	if got := b.answered("a.example."); got != 5 || b.w.stats.Prefetches != 0 {
		t.Errorf("TTL %d, %d refreshes; want the old answer and none", got, b.w.stats.Prefetches)
	}
	if got := b.answered("a.example."); got != 100 {
		t.Errorf("TTL %d, want that of the new answer", got)
	}
}

func TestSharedHitAllocatesNothing(t *testing.T) {
	list := newTeam(t, 2, 1, nil)
	list[0].learn("a.example.", 300)
	b := list[1]
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	var l lookup
	b.w.parse(msg, &l)
	events := []ring.Event{from(1, msg)}
	b.eng.keep = false
	if n := testing.AllocsPerRun(500, func() {
		b.w.cache.Delete(l.hash, l.key)
		b.eng.events = events
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per hit on the shared level, want 0", n)
	}
	if got := b.w.stats.SharedHits; got != 501 {
		t.Errorf("%d hits on the shared level, want 501", got)
	}
}

func TestSplitOfTheCache(t *testing.T) {
	pair := []*node{{workers: []int{0, 1}}}
	for _, c := range []struct {
		name               string
		workers            int
		nodes              []*node
		bytes              int64
		percent            int
		perNode, perWorker int64
		explained          bool
	}{
		{"a quarter", 2, pair, 64 << 20, 25, 16 << 20, 24 << 20, false},
		{"none", 2, pair, 64 << 20, 0, 0, 32 << 20, false},
		{"one worker", 1, nil, 64 << 20, 25, 0, 64 << 20, false},
		{"no cache", 2, pair, 0, 25, 0, 0, false},
		{"what the workers leave", 2, pair, 6 << 20, 90, 2 << 20, 2 << 20, false},
		{"too little is left", 2, pair, 4<<20 + 1000, 25, 0, 2<<20 + 500, true},
		{"two nodes", 4, append(pair, pair...), 64 << 20, 50, 16 << 20, 8 << 20, false},
	} {
		g := &Group{cfg: Config{Workers: c.workers}, nodes: c.nodes}
		perNode, perWorker, reason := g.split(c.bytes, c.percent)
		near := func(got, want int64) bool { return got <= want+want/100 && got >= want-want/100 }
		if !near(perNode, c.perNode) || !near(perWorker, c.perWorker) || (reason != "") != c.explained {
			t.Errorf("%s: %d shared, %d each, %q; want %d, %d", c.name, perNode, perWorker, reason, c.perNode, c.perWorker)
		}
		if total := perNode*int64(len(c.nodes)) + perWorker*int64(c.workers); total > c.bytes {
			t.Errorf("%s: %d bytes in all of %d", c.name, total, c.bytes)
		}
	}
}

// askEach asks once from each of so many sockets, which the kernel spreads over the workers, one after the other.
func askEach(t *testing.T, sockets int, addr netip.AddrPort, name string) {
	t.Helper()
	for range sockets {
		if r := exchange(t, "udp", addr, query(1, name, dns.TypeTXT)); len(r.Answer) != 1 {
			t.Fatalf("%s: %v", name, r)
		}
	}
}

// TestSharedPercent: with it W workers ask once, also after reloads that change its size; without it each asks for itself.
func TestSharedPercent(t *testing.T) {
	z := newZone(t)
	e := z.endpoint(transport.UDP)
	cfg := testConfig(t, BackendAuto)
	cfg.Workers = 4
	snap := testSnapshot(e)
	snap.SharedPercent = 25
	g, addrs := serve(t, cfg, snap)
	asked := func() int64 { return z.queries.Swap(0) }
	askEach(t, 40, addrs[0], "one.example.")
	if n := asked(); n != 1 {
		t.Errorf("4 workers asked %d times for one name, want 1", n)
	}
	s := g.Stats()
	for deadline := time.Now().Add(10 * time.Second); s.Hits != 39 && time.Now().Before(deadline); s = g.Stats() {
		time.Sleep(publishInterval) // figures are published when a worker is about to sleep
	}
	if s.SharedHits == 0 || s.SharedHits > 3 || s.Hits != 39 || s.SharedBytes < 3<<20 || s.SharedInserts != 1 {
		t.Errorf("%d hits, %d of them shared, %d bytes, %d inserts", s.Hits, s.SharedHits, s.SharedBytes, s.SharedInserts)
	}
	for _, percent := range []int{25, 50, 10} {
		next := *snap
		next.SharedPercent = percent
		if err := g.Reload(&next); err != nil {
			t.Fatal(err)
		}
		for _, w := range g.workers { // only the shared level knows it
			if w.common.table == nil || w.common.table != g.nodes[0].table {
				t.Fatalf("%d percent: a worker uses another table", percent)
			}
		}
		if _, state := g.nodes[0].table.Get(hashOf(g, "one.example.", dns.TypeTXT)); state != shared.Fresh {
			t.Errorf("%d percent: %v after the reload", percent, state)
		}
		askEach(t, 8, addrs[0], "one.example.")
		if n := asked(); n != 0 {
			t.Errorf("%d percent: asked %d times after a reload", percent, n)
		}
	}
	// A flush leaves nothing, neither shared nor with a worker, and the next answer is shared again.
	flushed, err := g.Flush(t.Context(), CacheMatch{Name: []byte("\x03one\x07example\x00")})
	if err != nil || flushed.Answers < 2 {
		t.Errorf("flushed %+v, %v; want at least the shared answer and one worker's", flushed, err)
	}
	askEach(t, 40, addrs[0], "one.example.")
	if n := asked(); n != 1 {
		t.Errorf("asked %d times after a flush, want 1", n)
	}
	// A refresh asks again however new the shared answer is.
	if n, err := g.Refresh(t.Context(), CacheMatch{Name: []byte("\x03one\x07example\x00")}); err != nil || n < 2 {
		t.Errorf("refreshed %d answers, %v", n, err)
	}
	eventually(t, "the refresh", func() bool { return z.queries.Load() != 0 })
	t.Logf("the refresh asked %d times", asked())
	next := *snap
	next.SharedPercent = 0
	if err := g.Reload(&next); err != nil {
		t.Fatal(err)
	}
	askEach(t, 40, addrs[0], "two.example.")
	if n := asked(); n < 2 {
		t.Errorf("4 workers that share nothing asked %d times", n)
	}
}

// hashOf makes what Table.Get wants.
func hashOf(g *Group, name string, qtype uint16) (hash uint64, key []byte, now uint32, c *shared.Copy) {
	w := &worker{seed: g.workers[0].seed, active: g.workers[0].active}
	msg, err := query(1, name, qtype).Pack()
	if err != nil {
		panic(err)
	}
	var l lookup
	w.parse(msg, &l)
	return l.hash, l.key, secondsOf(int64(transport.Now())), new(shared.Copy)
}
