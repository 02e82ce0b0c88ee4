package e2e

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// The embedded default, just as `make run` starts it: no configuration, no network, and a line of figures each second.
func TestEmbeddedDefault(t *testing.T) {
	const port = 5300
	rig.RequireFree(t, port)
	proxy := rig.StartDefault(t, proxyBinary, netip.AddrPortFrom(rig.Loopback, port), "http://127.0.0.1:9153/metrics")
	checkDemo(t, proxy)
	if !strings.Contains(proxy.Log(), "dig @127.0.0.1 -p 5300") {
		t.Errorf("the log does not say what to type")
	}
	lines := strings.Count(proxy.Log(), "p99")
	rig.Eventually(t, 10*time.Second, "live figures on the terminal", func() bool {
		return strings.Count(proxy.Log(), "p99") >= lines+2
	})
	wantExit(t, proxy, 0)
}

// The embedded upstream as one line of a configuration, over both engines.
func TestEmbeddedUpstream(t *testing.T) {
	t.Parallel()
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := startProxy(t, engine, rig.Upstream{URL: "embedded:"})
		checkDemo(t, proxy)
		proxy.Signal(syscall.SIGHUP)
		checkDemo(t, proxy)
		wantExit(t, proxy, 0)
	})
}

// checkDemo asks for the demo name over UDP and TCP, IPv4 and IPv6, twice each: the second answer comes from the cache, older.
func checkDemo(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
	first := rig.Dig(t, proxy.Addr, "www.demo.example")
	if first.Status != "NOERROR" || len(first.Records) == 0 {
		t.Fatalf("got %s %v, want an address", first.Status, first.Records)
	}
	before := proxy.Metrics(t)
	time.Sleep(1100 * time.Millisecond) // TTLs count whole seconds
	servers := []netip.AddrPort{proxy.Addr, proxy.Addr6}
	asked := 0
	for _, server := range servers {
		for _, extra := range []string{"+notcp", "+tcp"} {
			for _, again := range []rig.Answer{
				rig.Dig(t, server, extra, "www.demo.example"),
				rig.Kdig(t, server, extra, "www.demo.example"),
			} {
				asked++
				if again.Status != "NOERROR" || again.TTL() >= first.TTL() || again.TTL() < 0 {
					t.Errorf("%v %s: got %s with TTL %d, want less than the first answer's %d", server, extra, again.Status, again.TTL(), first.TTL())
				}
			}
		}
	}
	if c := settled(t, proxy, before, asked); c.hits != asked {
		t.Errorf("got %d hits of %d, want all", c.hits, asked)
	}
	if got := rig.Dig(t, proxy.Addr, "nowhere.demo.example"); got.Status != "NXDOMAIN" {
		t.Errorf("unknown name: got %s, want NXDOMAIN", got.Status)
	}
}
