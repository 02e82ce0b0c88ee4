package worker

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// TestTenThousandClients: that many clients ask for one name that was popular and has just expired, over all workers, before its upstream answers.
// The upstream is asked once, and all of them get its answer.
func TestTenThousandClients(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		const clients, sockets, step = 10_000, 100, 500
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.Workers, cfg.Waiters = 4, 16384
		snap := testSnapshot(z.endpoint(transport.UDP))
		snap.SharedPercent = 25
		snap.QueryTimeout, snap.AttemptTimeout = QueryTimeoutMax, QueryTimeoutMax // however slow this machine is
		g, addrs := serve(t, cfg, snap)
		askEach(t, 40, addrs[0], "gated.example.") // every worker knows it
		gate := make(chan struct{})
		z.gate.Store(&gate)
		time.Sleep(2100 * time.Millisecond) // its TTL is a second, and TTLs count whole ones
		z.queries.Store(0)
		before := g.Stats().QueriesUDP
		var conns []net.Conn
		for range sockets {
			c, err := net.Dial("udp", addrs[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		for sent := 0; sent < clients; sent += step { // no faster than they are read: what a socket's buffer drops would never be asked
			for i := sent; i < sent+step; i++ {
				if _, err := conns[i%sockets].Write(pack(t, query(uint16(i/sockets), "gated.example.", dns.TypeTXT))); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all queries have arrived", func() bool { return g.Stats().QueriesUDP == before+uint64(sent+step) })
		}
		eventually(t, "all clients wait", func() bool { return g.Stats().Waiters == clients })
		if n := z.queries.Load(); n != 1 {
			t.Errorf("the upstream was asked %d times, want 1", n)
		}
		close(gate)
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(30 * time.Second))
			seen := map[uint16]bool{}
			buf := make([]byte, 1500)
			for len(seen) < clients/sockets {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatalf("after %d of %d answers: %v", len(seen), clients/sockets, err)
				}
				m := unpack(t, buf[:n])
				if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || seen[m.Id] {
					t.Fatalf("answer %v, seen before: %v", m, seen[m.Id])
				}
				seen[m.Id] = true
			}
		}
		s := g.Stats()
		if n := z.queries.Load(); n != 1 || s.FollowsFailed != 0 || s.Shed != 0 {
			t.Errorf("the upstream was asked %d times, %d followed in vain, %d shed", n, s.FollowsFailed, s.Shed)
		}
	})
}

// TestEachNodeAsksOnce: workers of two NUMA nodes, two of each, share nothing across them: what all of them are asked for is asked for twice, and the memory that is to be
// shared is divided.
func TestEachNodeAsksOnce(t *testing.T) {
	z := newZone(t)
	cfg := testConfig(t, BackendAuto)
	cfg.Workers = 4
	snap := testSnapshot(z.endpoint(transport.UDP))
	snap.SharedPercent = 50
	snap.QueryTimeout, snap.AttemptTimeout = QueryTimeoutMax, QueryTimeoutMax
	g, addrs := serveBy(t, func(c Config, ls *Listeners, s *Snapshot) (*Group, error) { return start(c, ls, s, []int{0, 1, 0, 1}) }, cfg, snap)
	if len(g.nodes) != 2 || g.nodeOf[0] != g.nodeOf[2] || g.nodeOf[1] != g.nodeOf[3] || g.nodeOf[0] == g.nodeOf[1] {
		t.Fatalf("%d nodes: %v", len(g.nodes), g.nodeOf)
	}
	for _, n := range g.nodes {
		if limit := n.table.Limit(); limit > snap.CacheBytes/4 || limit < snap.CacheBytes/5 {
			t.Errorf("a node shares %d bytes, want half of half of %d", limit, snap.CacheBytes)
		}
	}
	gate := make(chan struct{})
	z.gate.Store(&gate)
	var clients sync.WaitGroup
	for range 60 { // each worker has some
		clients.Go(func() {
			client := dns.Client{Timeout: 30 * time.Second}
			if r, _, err := client.Exchange(query(1, "gated.example.", dns.TypeTXT), addrs[0].String()); err != nil || len(r.Answer) != 1 {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
	eventually(t, "all clients wait", func() bool { return g.Stats().Waiters == 60 })
	close(gate)
	clients.Wait()
	if n := z.queries.Load(); n != 2 {
		t.Errorf("two nodes asked %d times", n)
	}
}

// TestUpstreamQueriesByWorkers: a Zipf load over 1, 2 and 4 workers, that share and that do not. Workers that share ask about as much as one does.
func TestUpstreamQueriesByWorkers(t *testing.T) {
	asked := map[string]int64{}
	for _, workers := range []int{1, 2, 4} {
		for _, percent := range []int{0, 25} {
			name := fmt.Sprintf("%d workers, %d percent", workers, percent)
			z := newZone(t)
			cfg := testConfig(t, BackendAuto)
			cfg.Workers = workers
			snap := testSnapshot(z.endpoint(transport.UDP))
			snap.SharedPercent = percent
			g, addrs := serve(t, cfg, snap)
			zipfLoad(t, addrs[0], 1)
			asked[name] = z.queries.Swap(0)
			if percent == 0 {
				continue
			}
			next := *snap
			next.SharedPercent, next.CacheBytes = 30, snap.CacheBytes*2
			if err := g.Reload(&next); err != nil {
				t.Fatal(err)
			}
			zipfLoad(t, addrs[0], 1)
			if n := z.queries.Load(); n > asked[name]/50 {
				t.Errorf("%s: asked %d times again after a reload, %d times before", name, n, asked[name])
			}
		}
	}
	one := float64(asked["1 workers, 0 percent"])
	for _, workers := range []int{1, 2, 4} {
		alone, together := asked[fmt.Sprintf("%d workers, 0 percent", workers)], asked[fmt.Sprintf("%d workers, 25 percent", workers)]
		t.Logf("%d workers: %d upstream queries without, %d with a shared level (%.2f and %.2f of one worker's)",
			workers, alone, together, float64(alone)/one, float64(together)/one)
		if ratio := float64(together) / one; ratio > 1.1 || ratio < 0.9 {
			t.Errorf("%d workers that share ask %.2f times what one does", workers, ratio)
		}
		if ratio := float64(alone) / one; workers == 4 && ratio < 1.3 {
			t.Errorf("4 workers that share nothing ask only %.2f times what one does: this shows nothing", ratio)
		}
	}
}

// zipfLoad asks for names by their popularity, from so many sockets at a time that all workers have some. The same seed asks for the same names.
func zipfLoad(t *testing.T, addr netip.AddrPort, seed uint64) {
	t.Helper()
	var clients sync.WaitGroup
	for n := range 32 {
		clients.Go(func() {
			c, err := net.Dial("udp", addr.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			conn := dns.Conn{Conn: c}
			zipf := rand.NewZipf(rand.New(rand.NewPCG(seed, uint64(n))), 1.1, 1, 1999)
			for range 250 {
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				if err := conn.WriteMsg(query(1, fmt.Sprintf("n%d.example.", zipf.Uint64()), dns.TypeTXT)); err != nil {
					t.Error(err)
					return
				}
				if m, err := conn.ReadMsg(); err != nil || len(m.Answer) != 1 {
					t.Errorf("%v %v", m, err)
					return
				}
			}
		})
	}
	clients.Wait()
}
