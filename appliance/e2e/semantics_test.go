package e2e

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// actorProxy starts a proxy before an actor.
func actorProxy(t *testing.T, actor *rig.Actor, settings ...string) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + actor.Addr.String()}}, Settings: settings}, nil)
}

// A failure is remembered (RFC 9520), told as such, and only as long as cache.failure_ttl says.
func TestFailuresAreRemembered(t *testing.T) {
	for _, c := range []struct {
		setting string
		asked   int // how many of three queries reach the upstream
	}{
		{`cache = {failure_ttl = "1m", max_failure_ttl = "1m"}`, 1},
		{`cache.failure_ttl = "0s"`, 3},
	} {
		t.Run(c.setting, func(t *testing.T) {
			actor := rig.NewActor(t)
			actor.Says(dns.RcodeServerFailure)
			proxy := actorProxy(t, actor, c.setting)
			before := actor.Queries()
			for i, ask := range []func() rig.Answer{
				func() rig.Answer { return rig.Dig(t, proxy.Addr, "a.bulk.example") },
				func() rig.Answer { return rig.Dig(t, proxy.Addr, "+tcp", "A.bulk.example") },
				func() rig.Answer { return rig.Kdig(t, proxy.Addr, "+edns", "a.bulk.example") },
			} {
				got := ask()
				if got.Status != "SERVFAIL" {
					t.Errorf("query %d: got %s, want SERVFAIL", i, got.Status)
				}
				if i > 0 && strings.Contains(got.Text, "Cached Error") != (c.asked == 1) {
					t.Errorf("query %d: the extended error is wrong:\n%s", i, got.Text)
				}
			}
			if got := actor.Queries() - before; got != c.asked {
				t.Errorf("the upstream was asked %d times, want %d", got, c.asked)
			}
			if got := proxy.Metrics(t).Sum(t, "sdp_held_failures_total"); int(got) != 3-c.asked {
				t.Errorf("sdp_held_failures_total is %v, want %d", got, 3-c.asked)
			}
		})
	}
}
