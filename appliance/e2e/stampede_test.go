package e2e

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Ten thousand clients ask for one name that everybody knew and that has just expired, over four workers, while unbound does not answer. It is asked once,
// over UDP and over TLS, and when it answers all of them are answered.
func TestTenThousandClientsAskOnce(t *testing.T) {
	p := startPeers(t)
	for _, kind := range []upstreamKind{upstreamKinds[0], upstreamKinds[2]} {
		t.Run(kind.name, func(t *testing.T) {
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Workers: 4, Upstreams: []rig.Upstream{kind.config(p)}, Settings: []string{
					`cache = {max_ttl = "1s"}`, `timeouts = {query = "30s", upstream = "30s"}`, `health.mode = "passive"`,
				},
			}, nil)
			stampede(t, p, proxy, freshName())
		})
	}
}

func stampede(t *testing.T, p peers, proxy *rig.Proxy, name string) {
	const clients, sockets, step = 10_000, 100, 1000
	for range 40 { // from as many ports, so that every worker has had it
		if reply, err := rig.Ask(proxy.Addr, "udp", name, 5*time.Second); err != nil || reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("%v %v", reply, err)
		}
	}
	time.Sleep(2100 * time.Millisecond) // TTLs count whole seconds
	all, _, _ := p.unbound.Queries()
	before := proxy.Metrics(t)
	p.unbound.Freeze()
	defer p.unbound.Thaw()
	var conns []net.Conn
	for range sockets {
		c, err := net.Dial("udp", proxy.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	since := func(metric string) int { return int(proxy.Metrics(t).Delta(before).Sum(t, metric)) }
	for sent := 0; sent < clients; sent += step { // no faster than they are read: what a socket's buffer drops was never asked
		for i := sent; i < sent+step; i++ {
			query.Id = uint16(i / sockets)
			msg, err := query.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conns[i%sockets].Write(msg); err != nil {
				t.Fatal(err)
			}
		}
		rig.Eventually(t, time.Minute, strconv.Itoa(sent+step)+" queries to arrive", func() bool { return since(metricQueries) == sent+step })
	}
	rig.Eventually(t, time.Minute, "all clients to wait", func() bool { return int(proxy.Metrics(t).Sum(t, "sdp_waiters")) == clients })
	p.unbound.Thaw()
	buf := make([]byte, 1500)
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		for n := range clients / sockets {
			size, err := c.Read(buf)
			reply := new(dns.Msg)
			if err != nil || reply.Unpack(buf[:size]) != nil || reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
				t.Fatalf("answer %d: %v %v", n, err, reply)
			}
		}
	}
	now, _, _ := p.unbound.Queries()
	if now-all != 1 || since(metricExchanges) != 1 {
		t.Errorf("unbound was asked %d times, the proxy counts %d exchanges, want 1", now-all, since(metricExchanges))
	}
	if got := since(metricMisses) + since(metricCoalesced) + since(metricFollowed); got != clients || since(metricFollowed) == 0 {
		t.Errorf("%d misses, %d coalesced, %d followed are not %d clients of several workers", since(metricMisses), since(metricCoalesced), since(metricFollowed), clients)
	}
}
