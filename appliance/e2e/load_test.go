package e2e

import (
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

const names = 10_000

// dnsperf goes round 10,000 names: nothing is lost, each name misses once, and /metrics counts what dnsperf sent.
func TestLoad(t *testing.T) {
	p := startPeers(t)
	file := rig.BulkNames(t, names)
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, kind := range upstreamKinds {
			t.Run(kind.name, func(t *testing.T) {
				proxy := startProxy(t, engine, kind.config(p))
				before := proxy.Metrics(t)
				result := rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: loadSeconds}.Run(t)
				checkLoad(t, result)
				c := settled(t, proxy, before, result.Completed)
				distinct := min(result.Sent, names)
				wantBetween(t, "misses", c.misses, distinct, distinct)
				t.Logf("%d queries, %.0f/s, %d hits, %d misses, %d exchanges", result.Sent, result.QPS, c.hits, c.misses, c.exchanges)
			})
		}
	})
}

// Many sockets over two workers, which ask for each name once, together; the same over TCP, where each socket is a connection.
func TestManyClients(t *testing.T) {
	p := startPeers(t)
	file := rig.BulkNames(t, names)
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, mode := range []string{"udp", "tcp"} {
			t.Run(mode, func(t *testing.T) {
				proxy := rig.StartProxy(t, proxyBinary, rig.Config{
					Backend: engine, Workers: 2, Upstreams: []rig.Upstream{upstreamKinds[2].config(p)},
				}, nil)
				before := proxy.Metrics(t)
				result := rig.Load{Server: proxy.Addr, Mode: mode, NamesFile: file, Seconds: loadSeconds, Clients: 200}.Run(t)
				checkLoad(t, result)
				c := settled(t, proxy, before, result.Completed)
				distinct := min(result.Sent, names)
				wantBetween(t, "misses of two workers", c.misses, distinct-distinct/20, distinct+distinct/20)
			})
		}
	})
}

func checkLoad(t *testing.T, result rig.Result) {
	t.Helper()
	if result.Lost != 0 || result.Sent == 0 || result.Completed != result.Sent || result.RCodes["NOERROR"] != result.Completed {
		t.Errorf("dnsperf sent %d, completed %d, lost %d, got %v: want all NOERROR", result.Sent, result.Completed, result.Lost, result.RCodes)
	}
}
