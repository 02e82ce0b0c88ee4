package e2e

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Two workers make a connection each, unless a cap allows only one: then the other worker's queries go to the other upstream, and nothing is
// held against the first one. A reload changes the cap.
func TestUpstreamConnectionCaps(t *testing.T) {
	p := startPeers(t)
	for _, setting := range []string{"caps.%s.max_connections = 1", "pool.encrypted.max_connections = 1"} {
		for _, kind := range []int{2, 3, 4} { // tls, quic, https
			name := upstreamKinds[kind].name
			t.Run(setting[:4]+" "+name, func(t *testing.T) {
				t.Parallel()
				limit := setting
				if setting[0] == 'c' {
					limit = fmt.Sprintf(setting, name)
				}
				config := rig.Config{
					Workers:   2,
					Upstreams: []rig.Upstream{plain("udp", p), upstreamKinds[kind].config(p)},
					Settings:  []string{limit, `health.mode = "passive"`, `pool.encrypted.suffixes = ["nowhere.invalid"]`},
				}
				config.Upstreams[1].Settings = []string{`pools = ["default", "encrypted"]`}
				proxy := rig.StartProxy(t, proxyBinary, config, nil)
				connections := func() int {
					return int(proxy.Metrics(t).Sum(t, "sdp_upstream_connections", fmt.Sprintf("upstream=%q", config.Upstreams[1].URL)))
				}
				askAll := func() {
					t.Helper()
					for range 40 { // from ports of their own, so over both workers
						reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
						if err != nil || reply.Rcode != dns.RcodeSuccess {
							t.Fatalf("got %v, %v", reply, err)
						}
					}
				}
				rig.Eventually(t, recoveryMax*5, "a connection", func() bool { return connections() == 1 })
				askAll()
				if got := connections(); got != 1 {
					t.Errorf("%d connections, want 1", got)
				}
				if up := proxy.Metrics(t).Sum(t, "sdp_upstream_up", fmt.Sprintf("upstream=%q", config.Upstreams[1].URL)); up != 1 {
					t.Error("the cap was held against the upstream")
				}
				config.Listen, config.Metrics = []netip.AddrPort{proxy.Addr, proxy.Addr6}, proxy.Config.Metrics
				config.Settings = config.Settings[1:]
				proxy.WriteConfig(t, config.Text())
				proxy.Signal(syscall.SIGHUP)
				rig.Eventually(t, recoveryMax*5, "a connection for each worker without the cap", func() bool {
					askAll()
					return connections() == 2
				})
			})
		}
	}
}
