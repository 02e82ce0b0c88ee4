package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker/stream"
)

// engines runs a test over both engines.
func engines(t *testing.T, test func(t *testing.T, backend string)) {
	for _, backend := range []string{BackendUring, BackendMmsg} {
		t.Run(backend, func(t *testing.T) { test(t, backend) })
	}
}

// zone is an upstream on loopback, UDP and TCP on one port. Names: slow*. answers after 100 ms, never*. not at all, brief*. with a TTL of 1 s, gated*. with
// that while there is no gate, and not before it is closed once there is one, big*. with 3000 bytes, any other with one text.
type zone struct {
	addr    netip.AddrPort
	queries atomic.Int64
	gate    atomic.Pointer[chan struct{}]
	servers []*dns.Server
}

func newZone(t *testing.T) *zone {
	t.Helper()
	z := new(zone)
	var pc net.PacketConn
	var l net.Listener
	for range 10 { // the port that UDP got may be taken for TCP
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		z.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		if l, err = net.Listen("tcp", z.addr.String()); err == nil {
			break
		}
		pc.Close()
	}
	if l == nil {
		t.Fatal("no port free for both UDP and TCP")
	}
	z.servers = []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: l, Handler: z}}
	for _, s := range z.servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
	}
	t.Cleanup(func() {
		for _, s := range z.servers {
			s.Shutdown()
		}
	})
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.queries.Add(1)
	name := q.Question[0].Name
	switch {
	case strings.HasPrefix(name, "never"):
		return
	case strings.HasPrefix(name, "slow"):
		time.Sleep(100 * time.Millisecond)
	}
	if gate := z.gate.Load(); gate != nil && strings.HasPrefix(name, "gated") {
		<-*gate
	}
	m := new(dns.Msg)
	m.SetReply(q)
	n, ttl := 1, uint32(300)
	if strings.HasPrefix(name, "brief") || strings.HasPrefix(name, "gated") && z.gate.Load() == nil {
		ttl = 1
	}
	if strings.HasPrefix(name, "big") {
		n = 15
	}
	for i := range n {
		m.Answer = append(m.Answer, &dns.TXT{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl},
			Txt: []string{fmt.Sprintf("%s %d %s", name, i, strings.Repeat("x", 180))},
		})
	}
	m.SetEdns0(1232, false)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		m.Truncate(1232)
	}
	w.WriteMsg(m)
}

func (z *zone) endpoint(scheme transport.Scheme) *transport.Endpoint {
	return &transport.Endpoint{
		Name: fmt.Sprintf("%v://%v", scheme, z.addr), Scheme: scheme, Host: "127.0.0.1", Port: z.addr.Port(), Conns: 1,
		Addresses: transport.NewAddresses(z.addr), DialTimeout: 2 * time.Second, IdleTimeout: 10 * time.Second, DeadAfter: 2 * time.Second,
		Health: health.New(func() int64 { return int64(transport.Now()) }),
	}
}

// testConfig has two workers.
func testConfig(t *testing.T, backend string) Config {
	tcp := stream.Defaults()
	tcp.Conns, tcp.ConnsPerClient = 3000, 2500
	return Config{
		Workers: 2, Backend: backend, Slots: 2048, Waiters: 8192, UDPSizeMax: 1232, TCP: tcp,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func testSnapshot(endpoints ...*transport.Endpoint) *Snapshot {
	var upstreams []Upstream
	for _, e := range endpoints {
		upstreams = append(upstreams, Upstream{Endpoint: e, Weight: 1})
	}
	return &Snapshot{
		Upstreams: upstreams, Pools: []Pool{defaultPool(len(endpoints))}, CacheBytes: 16 << 20, TTLMax: 86400, NegativeTTLMax: 3600,
		QueryTimeout: 3 * time.Second, AttemptTimeout: time.Second, Requests: plainRequests(),
	}
}

// serve starts a group on free loopback ports and stops it when the test ends; nothing may be left then.
func serve(t *testing.T, cfg Config, snap *Snapshot, listen ...string) (*Group, []netip.AddrPort) {
	t.Helper()
	return serveBy(t, Start, cfg, snap, listen...)
}

// serveBy is serve with another way to start.
func serveBy(t *testing.T, start func(Config, *Listeners, *Snapshot) (*Group, error), cfg Config, snap *Snapshot, listen ...string) (*Group, []netip.AddrPort) {
	t.Helper()
	if len(listen) == 0 {
		listen = []string{"127.0.0.1:0"}
	}
	goroutines, fds := runtime.NumGoroutine(), openFDs(t)
	var addrs []netip.AddrPort
	for _, a := range listen {
		addrs = append(addrs, netip.MustParseAddrPort(a))
	}
	ls, err := Listen(addrs, cfg.Workers, 0)
	if err != nil {
		t.Fatal(err)
	}
	g, err := start(cfg, ls, snap)
	if err != nil {
		ls.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := g.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		left := func() string {
			if n := openFDs(t); n > fds {
				return fmt.Sprintf("%d descriptors, %d before", n, fds)
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				return fmt.Sprintf("%d goroutines, %d before", n, goroutines)
			}
			return ""
		}
		for range 100 { // the upstream server's side of closed connections ends a little later
			if left() == "" {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("left behind: %s", left())
	})
	return g, ls.Addrs()
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// exchange asks over a network of miekg/dns and wants an answer.
func exchange(t *testing.T, network string, addr netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(m, addr.String())
	if err != nil {
		t.Fatalf("%s %v %s: %v", network, addr, m.Question[0].Name, err)
	}
	return r
}

func TestServesOverUDPAndTCP(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		g, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)), "127.0.0.1:0", "[::1]:0")
		if name, reason := g.Engine(); name != backend || reason != "" {
			t.Errorf("engine %q, reason %q", name, reason)
		}
		for _, addr := range addrs {
			for _, network := range []string{"udp", "tcp"} {
				for i := range 3 {
					r := exchange(t, network, addr, query(uint16(i), "Name.example.", dns.TypeTXT))
					if len(r.Answer) != 1 || r.Question[0].Name != "Name.example." {
						t.Fatalf("%s %v: %v", network, addr, r)
					}
				}
			}
		}
		if n := z.queries.Load(); n > 2 { // one per worker
			t.Errorf("the upstream was asked %d times by 2 workers", n)
		}
	})
}

func TestWildcardRepliesLeaveFromTheAddressAsked(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		_, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)), "0.0.0.0:0", "[::]:0")
		for _, target := range []string{"127.0.0.1", "127.0.0.5", "127.1.2.3", "::1"} {
			to := netip.AddrPortFrom(netip.MustParseAddr(target), addrs[0].Port())
			if to.Addr().Is6() {
				to = netip.AddrPortFrom(to.Addr(), addrs[1].Port())
			}
			// A connected client socket takes nothing from another address.
			if r := exchange(t, "udp", to, query(1, "a.example.", dns.TypeTXT)); len(r.Answer) != 1 {
				t.Errorf("%v: %v", to, r)
			}
		}
	})
}

func TestBigAnswerOverDo53GoesToTCP(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		_, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)))
		if r := exchange(t, "udp", addrs[0], query(1, "big.example.", dns.TypeTXT)); !r.Truncated || len(r.Answer) != 0 {
			t.Errorf("over UDP: truncated %v, %d records", r.Truncated, len(r.Answer))
		}
		if r := exchange(t, "tcp", addrs[0], query(2, "big.example.", dns.TypeTXT)); r.Truncated || len(r.Answer) != 15 {
			t.Errorf("over TCP: truncated %v, %d records", r.Truncated, len(r.Answer))
		}
	})
}

func TestPipelinedOverTCPOutOfOrder(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		_, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)))
		c, err := net.Dial("tcp", addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var out []byte
		names := []string{"slow.example.", "fast.example.", "quick.example."}
		for i, name := range names {
			msg := pack(t, query(uint16(i), name, dns.TypeTXT))
			out = binary.BigEndian.AppendUint16(out, uint16(len(msg)))
			out = append(out, msg...)
		}
		for _, b := range out { // every segmentation is legal, one byte each too
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		conn := dns.Conn{Conn: c}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		var order []int
		for range names {
			m, err := conn.ReadMsg()
			if err != nil {
				t.Fatal(err)
			}
			if m.Question[0].Name != names[m.Id] {
				t.Errorf("id %d: %s", m.Id, m.Question[0].Name)
			}
			order = append(order, int(m.Id))
		}
		if order[2] != 0 {
			t.Errorf("order %v: the slow answer held up the others", order)
		}
	})
}

// A client that sends everything before it reads anything, far more than the in-flight cap, gets every answer.
func TestManyPipelinedBeforeReading(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		_, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.TCP)))
		c, err := net.Dial("tcp", addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		const queries = 2000
		go func() {
			var out []byte
			for i := range queries {
				m := query(uint16(i), fmt.Sprintf("n%d.example.", i), dns.TypeTXT)
				msg, _ := m.Pack()
				out = binary.BigEndian.AppendUint16(out, uint16(len(msg)))
				out = append(out, msg...)
			}
			c.Write(out)
			c.(*net.TCPConn).CloseWrite() // what is owed still comes
		}()
		conn := dns.Conn{Conn: c}
		seen := map[uint16]bool{}
		for range queries {
			m, err := conn.ReadMsg()
			if err != nil {
				t.Fatalf("after %d answers: %v", len(seen), err)
			}
			seen[m.Id] = true
		}
		if len(seen) != queries {
			t.Errorf("%d distinct answers", len(seen))
		}
		if _, err := conn.ReadMsg(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last answer: %v, want EOF", err)
		}
	})
}

func TestIdleTCPClientsAreClosedAndUDPGoesOn(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.TCP.IdleTimeout = time.Second
		g, addrs := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)))
		var conns []net.Conn
		for i := range 2000 {
			c, err := net.Dial("tcp", addrs[0].String())
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			defer c.Close()
			c.Write([]byte{0, 40, 1}) // half a frame
			conns = append(conns, c)
		}
		if r := exchange(t, "udp", addrs[0], query(1, "a.example.", dns.TypeTXT)); len(r.Answer) != 1 {
			t.Errorf("UDP beside 2000 idle connections: %v", r)
		}
		for i, c := range conns {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("connection %d is still open: %v", i, err)
			}
		}
		eventually(t, "2000 closed for idleness", func() bool { return g.Stats().Streams[StreamIdle] == 2000 })
	})
}

func TestTCPCaps(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.Workers = 1
		cfg.TCP.Conns, cfg.TCP.ConnsPerClient = 10, 4
		g, addrs := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)))
		dial := func(from string) net.Conn {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.Dial("tcp", addrs[0].String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		served := func(c net.Conn) bool {
			conn := dns.Conn{Conn: c}
			c.SetDeadline(time.Now().Add(5 * time.Second))
			if conn.WriteMsg(query(1, "a.example.", dns.TypeTXT)) != nil {
				return false
			}
			_, err := conn.ReadMsg()
			return err == nil
		}
		count := 0
		for range 6 {
			if served(dial("127.0.0.2")) {
				count++
			}
		}
		if count != 4 {
			t.Errorf("%d connections of one client served, want 4", count)
		}
		for i := range 8 {
			if served(dial(fmt.Sprintf("127.0.1.%d", i+1))) {
				count++
			}
		}
		if count != 10 {
			t.Errorf("%d connections served in all, want 10", count)
		}
		eventually(t, "two refused by each cap", func() bool {
			s := g.Stats()
			return s.Streams[StreamRefusedClient] == 2 && s.Streams[StreamRefusedTotal] == 2
		})
	})
}

// Connections that idle, or have sent half a query, are more than may be open: a client that comes is served all the same.
func TestCrowdedTCPServesWhoComes(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.Workers = 1
		cfg.TCP.Conns, cfg.TCP.ConnsPerClient = 64, 16
		g, addrs := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)))
		dial := func(from string) net.Conn {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.Dial("tcp", addrs[0].String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		for i := range 200 {
			c := dial(fmt.Sprintf("127.0.2.%d", 1+i/10))
			if i%2 == 0 {
				c.Write([]byte{0, 40, 1})
			}
			if i%20 == 19 {
				eventually(t, fmt.Sprintf("a client is served after %d idle connections", i+1), func() bool { // more than two may come in one turn
					client := dns.Conn{Conn: dial("127.0.0.2")}
					defer client.Close()
					client.SetDeadline(time.Now().Add(10 * time.Second))
					if client.WriteMsg(query(1, "a.example.", dns.TypeTXT)) != nil {
						return false
					}
					_, err := client.ReadMsg()
					return err == nil
				})
			}
		}
		eventually(t, "quiet ones were closed", func() bool { return g.Stats().Streams[StreamCrowded] > 2 }) // those who come too fast are refused instead
	})
}

func TestHostileInputOverRealSockets(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.Workers = 1
		g, addrs := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)))
		c, err := net.Dial("udp", addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 10 { // few: the receive buffer may drop, and each has to be counted
			c.Write(nil)
			c.Write([]byte("garbage that is no DNS at all"))
			c.Write(make([]byte, 8000))
		}
		tcp, err := net.Dial("tcp", addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		big := make([]byte, 2+65535) // a header, then zeros: QDCOUNT 0
		big[0], big[1], big[4] = 0xFF, 0xFF, 1
		tcp.Write(big)
		reply := make([]byte, 512)
		tcp.SetDeadline(time.Now().Add(5 * time.Second))
		if n, err := tcp.Read(reply); err != nil || n < 14 || reply[5]&0xF != dns.RcodeFormatError {
			t.Errorf("64 KiB message: %d bytes, %v", n, err)
		}
		if _, err := tcp.Write([]byte{0, 0}); err != nil { // a frame of no bytes
			t.Fatal(err)
		}
		if _, err := io.ReadAll(tcp); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("after an empty frame: %v", err)
		}
		if r := exchange(t, "udp", addrs[0], query(1, "a.example.", dns.TypeTXT)); len(r.Answer) != 1 {
			t.Errorf("afterwards: %v", r)
		}
		eventually(t, "every datagram counted", func() bool {
			s := g.Stats()
			return s.Drops[DropShort] == 10 && s.Drops[DropTruncated] == 10
		})
	})
}

// eventually waits for what another thread is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("not within 30 s: %s", what)
}

func TestDrainAnswersWhatIsUnderWay(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		g, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)))
		var wg sync.WaitGroup
		failed := atomic.Int32{}
		for i := range 50 {
			network := []string{"udp", "tcp"}[i%2]
			wg.Go(func() {
				c := dns.Client{Net: network, Timeout: 5 * time.Second}
				if _, _, err := c.Exchange(query(uint16(i), fmt.Sprintf("slow%d.example.", i), dns.TypeTXT), addrs[0].String()); err != nil {
					failed.Add(1)
				}
			})
		}
		eventually(t, "50 queries under way", func() bool { return g.Stats().InFlight+g.Stats().Answers[0] == 50 || z.queries.Load() == 50 })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Drain(ctx); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if failed.Load() != 0 {
			t.Errorf("%d of 50 queries were lost", failed.Load())
		}
	})
}

func TestDrainGivesUpAtItsDeadline(t *testing.T) {
	z := newZone(t)
	g, addrs := serve(t, testConfig(t, BackendAuto), testSnapshot(z.endpoint(transport.UDP)))
	c, err := net.Dial("udp", addrs[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(pack(t, query(1, "never.example.", dns.TypeTXT)))
	eventually(t, "one query under way", func() bool { return g.Stats().InFlight == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := g.Drain(ctx); err == nil || !strings.Contains(err.Error(), "1 queries were given up") {
		t.Errorf("got %v", err)
	}
}

func TestReloadSwapsUpstreamsUnderLoad(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		first, second := newZone(t), newZone(t)
		a, b := first.endpoint(transport.UDP), second.endpoint(transport.TCP)
		g, addrs := serve(t, testConfig(t, backend), testSnapshot(a))
		stop := make(chan struct{})
		var lost, asked atomic.Int32
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				c := dns.Client{Timeout: 5 * time.Second}
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					asked.Add(1)
					r, _, err := c.Exchange(query(uint16(i), fmt.Sprintf("n%d-%d.example.", k, i), dns.TypeTXT), addrs[0].String())
					if err != nil || r.Rcode != dns.RcodeSuccess {
						lost.Add(1)
					}
				}
			})
		}
		for i := range 20 {
			list := [][]*transport.Endpoint{{b}, {a, b}, {a}}[i%3]
			if err := g.Reload(testSnapshot(list...)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			// A removed endpoint needs a new pointer to come back; the configuration makes one for each reload.
			a, b = first.endpoint(transport.UDP), second.endpoint(transport.TCP)
		}
		close(stop)
		wg.Wait()
		if lost.Load() != 0 || second.queries.Load() == 0 {
			t.Errorf("%d of %d queries lost; %d went to the second upstream", lost.Load(), asked.Load(), second.queries.Load())
		}
		if err := g.Reload(&Snapshot{}); err == nil {
			t.Error("an empty snapshot was adopted")
		}
		eventually(t, "the figures of removed upstreams still there", func() bool {
			total := uint64(0)
			for _, r := range g.Upstreams() {
				total += r.Stats.Exchanges
			}
			return total >= uint64(asked.Load())
		})
	})
}

func TestFiguresAddUp(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		g, addrs := serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)))
		for i := range 300 {
			exchange(t, "udp", addrs[0], query(uint16(i), fmt.Sprintf("n%d.example.", i%100), dns.TypeTXT))
		}
		eventually(t, "all 300 queries in the figures", func() bool {
			s := g.Stats()
			return s.Queries() == 300 && s.Hits+s.Misses+s.Coalesced == 300 && s.Answers[0] == 300
		})
		s, u := g.Stats(), g.Upstreams()[0]
		var counted uint64
		for _, n := range s.Latency.Count {
			counted += n
		}
		if u.Stats.Exchanges != s.Misses+s.Retries || u.Stats.Answers != s.Misses || counted != 300 || s.CacheEntries != s.Misses {
			t.Errorf("exchanges %d, answers %d, misses %d, latencies %d, entries %d", u.Stats.Exchanges, u.Stats.Answers, s.Misses, counted, s.CacheEntries)
		}
	})
}

func TestStartRejectsBadConfiguration(t *testing.T) {
	z := newZone(t)
	ls, err := Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ls.Close()
	cfg := testConfig(t, "carrier-pigeon")
	if _, err := Start(cfg, ls, testSnapshot(z.endpoint(transport.UDP))); err == nil || !strings.Contains(err.Error(), "carrier-pigeon") {
		t.Errorf("unknown backend: %v", err)
	}
	cfg = Config{}
	if _, err := Start(cfg, ls, &Snapshot{AttemptTimeout: -1}); err == nil || strings.Count(err.Error(), "\n") < 5 {
		t.Errorf("want every problem at once: %v", err)
	}
}
