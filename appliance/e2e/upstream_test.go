package e2e

import (
	"slices"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Every kind of upstream gives the answers that the peer itself gives, first from upstream and then from the cache.
func TestAnswersEqualThePeers(t *testing.T) {
	p := startPeers(t)
	questions := []struct {
		name      string
		arguments []string
	}{
		{"A", []string{"www.zone.example", "A"}},
		{"AAAA", []string{"www.zone.example", "AAAA"}},
		{"CNAME", []string{"alias.zone.example", "CNAME"}},
		{"MX", []string{"zone.example", "MX"}},
		{"NS", []string{"zone.example", "NS"}},
		{"SOA", []string{"zone.example", "SOA"}},
		{"NXDOMAIN", []string{"nowhere.zone.example", "A"}},
		{"NODATA", []string{"www.zone.example", "TXT"}},
		{"3 KB over TCP", []string{"+tcp", "big.zone.example", "TXT"}},
		{"16 KB over TCP", []string{"+tcp", "huge.zone.example", "TXT"}},
		{"escaped name", []string{`a\.b\032c.bulk.example`, "A"}},
	}
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, kind := range upstreamKinds {
			t.Run(kind.name, func(t *testing.T) {
				proxy := startProxy(t, engine, kind.config(p))
				for _, q := range questions {
					want := rig.Dig(t, p.unbound.Do53, append([]string{"+tcp"}, q.arguments...)...)
					for _, c := range []struct {
						name string
						got  rig.Answer
					}{
						{"dig", rig.Dig(t, proxy.Addr, q.arguments...)},
						{"dig again", rig.Dig(t, proxy.Addr, q.arguments...)},
						{"kdig on IPv6", rig.Kdig(t, proxy.Addr6, q.arguments...)},
						{"dig +tcp", rig.Dig(t, proxy.Addr, append([]string{"+tcp"}, q.arguments...)...)},
					} {
						if c.got.Status != want.Status || !slices.Equal(c.got.Data(), want.Data()) {
							t.Errorf("%s, %s: got %s %v, want %s %v", q.name, c.name, c.got.Status, c.got.Data(), want.Status, want.Data())
						}
						if !c.got.HasFlag("qr") || !c.got.HasFlag("ra") || !c.got.HasFlag("rd") {
							t.Errorf("%s, %s: got flags %v, want qr, rd and ra among them", q.name, c.name, c.got.Flags)
						}
					}
				}
			})
		}
	})
	if _, tls, https := p.unbound.Queries(); tls == 0 || https == 0 {
		t.Errorf("unbound's own counters: got %d queries over TLS and %d over HTTPS, want some of each", tls, https)
	}
}
