package e2e

import (
	"fmt"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// unbound tells how long connections may idle: the proxy asks, and closes them before unbound does. Unasked it tells nothing, and closes.
func TestIdleTimeoutOfRealServer(t *testing.T) {
	t.Parallel()
	authority := rig.NewAuthority(t)
	certificate := authority.Issue(rig.Leaf{})
	unbound := rig.NewUnbound(t, certificate)
	unbound.Kill()
	unbound.AnnounceIdle(2*time.Second, certificate)
	unbound.Start()
	for _, upstream := range []rig.Upstream{
		{URL: fmt.Sprintf("tcp://%v", unbound.Do53)},
		{URL: fmt.Sprintf("tls://%v", unbound.TLS), TLSName: rig.ServerName, CAFile: authority.CAFile},
	} {
		for _, asks := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s asks %t", upstream.URL[:3], asks), func(t *testing.T) {
				upstream.Settings = []string{fmt.Sprintf("edns_keepalive = %t", asks)}
				proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{upstream}, Settings: []string{"prewarm_pools = false"}}, nil)
				if got := rig.Dig(t, proxy.Addr, "www.zone.example", "A"); got.Status != "NOERROR" {
					t.Fatalf("got %s", got.Status)
				}
				var m rig.Metrics
				ours := func() float64 {
					return m.Sum(t, "sdp_upstream_retired_connections_total", `reason="keepalive"`)
				}
				if asks {
					rig.Eventually(t, settleTimeout, "the proxy closes its connection", func() bool { m = proxy.Metrics(t); return ours() == 1 })
				} else {
					rig.Eventually(t, time.Minute, "unbound closes the connection", func() bool {
						m = proxy.Metrics(t)
						return m.Sum(t, "sdp_upstream_connections") == 0
					})
					if got := ours(); got != 0 {
						t.Errorf("%v connections closed for a timeout that unbound did not tell", got)
					}
				}
			})
		}
	}
}
