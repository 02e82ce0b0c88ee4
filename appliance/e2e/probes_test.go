package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// probesSettle bounds how long probes may take to find out what has happened.
const probesSettle = 30 * time.Second

// Active probes go over each upstream's own transport. Without one query of a client they find out that real servers hang, are gone and are
// back; a server that hangs costs no more the longer it does. A reload to lazy ends them.
func TestProbes(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	config := rig.Config{Settings: []string{
		"prewarm_pools = false", `health.mode = "active"`, `health.interval = "200ms"`, `health.timeout = "500ms"`,
		`health.name = "www.zone.example"`, `health.type = "A"`,
	}}
	for _, kind := range upstreamKinds {
		config.Upstreams = append(config.Upstreams, kind.config(p))
	}
	proxy := rig.StartProxy(t, proxyBinary, config, nil)
	probes := func(result string, u rig.Upstream) float64 {
		return proxy.Metrics(t).Sum(t, "sdp_upstream_probes_total", fmt.Sprintf("upstream=%q", u.URL), fmt.Sprintf("result=%q", result))
	}
	all := func(what string, holds func(u rig.Upstream) bool) {
		t.Helper()
		for i, u := range config.Upstreams {
			if !rig.Holds(probesSettle, func() bool { return holds(u) }) {
				t.Errorf("%s: never %s; its lines: %q", upstreamKinds[i].name, what, proxy.LogLines(u.URL, "was="))
			}
		}
	}
	up := func(u rig.Upstream) bool { return inUse(t, proxy, u.URL) && probes("good", u) >= 5 }
	down := func(u rig.Upstream) bool { return !inUse(t, proxy, u.URL) }

	all("up by probes", up)
	descriptors, goroutines := proxy.Descriptors(t), proxy.Goroutines(t)

	p.unbound.Freeze()
	p.dnsproxy.Freeze()
	all("down while the server hangs", down)
	all("probed on while it hangs", func(u rig.Upstream) bool { return probes("timeout", u) >= 12 })
	// A probe of a server that hangs takes a few goroutines at a time for each upstream, however many there have been.
	if d, g := proxy.Descriptors(t), proxy.Goroutines(t); d > descriptors+5*len(config.Upstreams) || g > goroutines+10*len(config.Upstreams) {
		t.Errorf("%d descriptors and %d goroutines after 12 timeouts each, were %d and %d", d, g, descriptors, goroutines)
	}
	for i, u := range config.Upstreams {
		if lines := proxy.LogLines("upstream down", u.URL, "no answer within 500ms"); len(lines) == 0 {
			t.Errorf("%s: the reason is not in the log: %q", upstreamKinds[i].name, proxy.LogLines(u.URL, "was="))
		}
	}
	p.unbound.Thaw()
	p.dnsproxy.Thaw()
	all("back after the server went on", up)

	p.dnsproxy.Kill()
	p.unbound.Kill()
	all("down after the server was killed", down)
	p.unbound.Start()
	p.dnsproxy.Start()
	all("back after the server was started", up)

	if !rig.Holds(releaseTimeout, func() bool {
		return proxy.Descriptors(t) <= descriptors+len(config.Upstreams) && proxy.Goroutines(t) <= goroutines+2*len(config.Upstreams)
	}) {
		t.Errorf("left behind: %d descriptors after %d, %d goroutines after %d", proxy.Descriptors(t), descriptors, proxy.Goroutines(t), goroutines)
	}
	m := proxy.Metrics(t)
	if queries, exchanges := m.Sum(t, metricQueries), m.Sum(t, metricExchanges); queries != 0 || exchanges != 0 {
		t.Errorf("%v queries and %v exchanges: the test was to have none", queries, exchanges)
	}

	config.Settings[1] = `health.mode = "lazy"`
	config.Listen, config.Metrics = proxy.Config.Listen, proxy.Config.Metrics
	proxy.WriteConfig(t, config.Text())
	proxy.Signal(syscall.SIGHUP)
	rig.Eventually(t, probesSettle, "reloaded", func() bool { return len(proxy.LogLines("msg=reloaded")) == 1 })
	good := func() float64 { return proxy.Metrics(t).Sum(t, "sdp_upstream_probes_total") }
	time.Sleep(600 * time.Millisecond) // those under way
	before := good()
	time.Sleep(time.Second)
	if after := good(); after != before {
		t.Errorf("%v probes of upstreams that are well after a reload to lazy", after-before)
	}
}
