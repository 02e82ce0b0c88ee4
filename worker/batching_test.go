package worker

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// chaos is a query that the worker answers by itself (REFUSED): no upstream takes part in what is counted.
func chaos(t *testing.T) []byte {
	q := query(1, "version.bind.", dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	return pack(t, q)
}

// TestBatchingAdapts: queries that have piled up are taken and answered many to a system call; one alone costs a few. That a reply then waits
// for no company is shown in package ring: TestEngine's "a send does not wait".
func TestBatchingAdapts(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		cfg := testConfig(t, backend)
		cfg.Workers = 1
		ls, err := Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		// The socket is there, the worker is not: this is what a worker finds that is at its limit.
		const load, clients = 128, 8
		msg, conns := chaos(t), make([]net.Conn, clients)
		for i := range conns {
			if conns[i], err = net.Dial("udp", ls.Addrs()[0].String()); err != nil {
				t.Fatal(err)
			}
			defer conns[i].Close()
		}
		for i := range load {
			if _, err := conns[i%clients].Write(msg); err != nil {
				t.Fatal(err)
			}
		}
		g, err := Start(cfg, ls, testSnapshot(z.endpoint(transport.UDP)))
		if err != nil {
			ls.Close()
			t.Fatal(err)
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := g.Drain(ctx); err != nil {
				t.Error(err)
			}
		}()
		reply := make([]byte, 512)
		read := func(c net.Conn) {
			t.Helper()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := c.Read(reply); err != nil {
				t.Fatal(err)
			}
		}
		for i := range load {
			read(conns[i%clients])
		}
		settled := func(answers uint64) uint64 {
			t.Helper()
			eventually(t, "all answers in the figures", func() bool { return g.Stats().Answers[dns.RcodeRefused] == answers })
			return g.Stats().Enters
		}
		full := settled(load)
		if full > load/4 {
			t.Errorf("%d queries at once took %d system calls, want at most %d", load, full, load/4)
		}
		const alone = 40
		for range alone {
			conns[0].Write(msg)
			read(conns[0])
			time.Sleep(3 * time.Millisecond) // beyond the busy wait: the worker sleeps again
		}
		if n := settled(load+alone) - full; n < alone || n > 8*alone {
			t.Errorf("%d single queries took %d system calls, want 1 to 8 each", alone, n)
		} else {
			t.Logf("system calls per query: %.2f at full load, %.2f alone", float64(full)/load, float64(n)/alone)
		}
	})
}
