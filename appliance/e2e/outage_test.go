package e2e

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	// recoveryMax is the issue's own figure: how long after the upstream is back clients may still get SERVFAIL.
	recoveryMax = 2 * time.Second
	outage      = 4500 * time.Millisecond // longer than a query may wait: over QUIC nobody says that the server is gone
	// outageQPS is a load that a machine busy with other builds carries too.
	outageQPS = 400
	// releaseTimeout is how long what an outage cost in descriptors and goroutines may take to be given back.
	releaseTimeout = 20 * time.Second
)

// The upstream is killed and started again while clients ask for names that are not cached: each query is answered, with
// SERVFAIL at worst; answers come back by themselves; nothing is left behind.
func TestOutage(t *testing.T) {
	t.Parallel()
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, kind := range upstreamKinds {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				p := startPeers(t)
				proxy := startProxy(t, engine, kind.config(p))
				const warm, after = 1, 4 // seconds of load before the outage and after it
				file := rig.BulkNames(t, outageQPS*60)
				rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: warm, QPS: outageQPS, Timeout: 10}.Run(t)
				descriptors, goroutines := proxy.Descriptors(t), proxy.Goroutines(t)

				seconds := warm + int(outage.Seconds()+1) + after
				wait := rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: seconds, QPS: outageQPS, Timeout: 10}.Start(t)
				time.Sleep(warm * time.Second)
				kind.kill(p)
				time.Sleep(outage)
				kind.start(p)
				back := time.Now()
				recovered := rig.Holds(recoveryMax, func() bool {
					reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
					return err == nil && reply.Rcode == dns.RcodeSuccess
				})
				if !recovered {
					t.Errorf("no answer within %v of the upstream's return", recoveryMax)
				} else {
					t.Logf("answers came back %v after the upstream", time.Since(back).Round(time.Millisecond))
				}
				result := wait()
				if result.Lost != 0 || result.Completed != result.Sent {
					t.Errorf("dnsperf sent %d, completed %d, lost %d: want every query answered", result.Sent, result.Completed, result.Lost)
				}
				if other := result.Completed - result.RCodes["NOERROR"] - result.RCodes["SERVFAIL"]; other != 0 {
					t.Errorf("got %v, want NOERROR and SERVFAIL only", result.RCodes)
				}
				if result.RCodes["SERVFAIL"] == 0 {
					t.Errorf("got %v: the outage did not show, the test proves nothing", result.RCodes)
				}
				t.Logf("%d queries: %v", result.Sent, result.RCodes)

				var fds, gs int
				if !rig.Holds(releaseTimeout, func() bool {
					fds, gs = proxy.Descriptors(t), proxy.Goroutines(t)
					return fds <= descriptors && gs <= goroutines
				}) {
					t.Errorf("left behind: %d descriptors after %d, %d goroutines after %d", fds, descriptors, gs, goroutines)
				}
			})
		}
	})
}

// The upstream stops without a word, connections left open, and goes on later: as with a lost path. Dead connections are
// noticed while queries are answered SERVFAIL, and answers come back by themselves.
func TestFrozenUpstream(t *testing.T) {
	t.Parallel()
	for _, kind := range upstreamKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := startPeers(t)
			freeze, thaw := p.unbound.Freeze, p.unbound.Thaw
			if kind.name == "quic" {
				freeze, thaw = p.dnsproxy.Freeze, p.dnsproxy.Thaw
			}
			proxy := startProxy(t, "", kind.config(p))
			file := rig.BulkNames(t, outageQPS*60)
			rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: 1, QPS: outageQPS}.Run(t)
			wait := rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: 8, QPS: outageQPS, Timeout: 10}.Start(t)
			time.Sleep(time.Second)
			freeze()
			time.Sleep(outage)
			thaw()
			if !rig.Holds(recoveryMax, func() bool {
				reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
				return err == nil && reply.Rcode == dns.RcodeSuccess
			}) {
				t.Errorf("no answer within %v of the upstream's return", recoveryMax)
			}
			result := wait()
			if result.Lost != 0 || result.RCodes["NOERROR"]+result.RCodes["SERVFAIL"] != result.Sent || result.RCodes["SERVFAIL"] == 0 {
				t.Errorf("dnsperf sent %d, lost %d, got %v: want every query answered, some by SERVFAIL", result.Sent, result.Lost, result.RCodes)
			}
		})
	}
}
