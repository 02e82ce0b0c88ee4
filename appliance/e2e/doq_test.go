package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
	"secure-dns-proxy/transport/lanetest"
)

// doqServer is a real DoQ server that can be killed and started again.
type doqServer interface {
	Kill()
	Start()
}

// doqPeer is one of them, with all that stands behind it.
type doqPeer struct {
	doqServer
	name      string
	address   netip.AddrPort
	authority *rig.Authority
	unbound   *rig.Unbound
}

// upstream is the peer as the proxy's upstream, reached at address.
func (p *doqPeer) upstream(address netip.AddrPort) rig.Upstream {
	return rig.Upstream{URL: fmt.Sprintf("quic://%v", address), TLSName: rig.ServerName, CAFile: p.authority.CAFile}
}

// forEachDoQ runs test against CoreDNS and against dnsproxy, side by side.
func forEachDoQ(t *testing.T, limits rig.CoreDNSLimits, test func(t *testing.T, p *doqPeer)) {
	for _, name := range []string{"coredns", "dnsproxy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startDoQ(t, name, limits))
		})
	}
}

func startDoQ(t *testing.T, name string, limits rig.CoreDNSLimits) *doqPeer {
	t.Helper()
	authority := rig.NewAuthority(t)
	certificate := authority.Issue(rig.Leaf{})
	p := &doqPeer{name: name, authority: authority, unbound: rig.NewUnbound(t, certificate)}
	if name == "coredns" {
		c := rig.NewCoreDNSWith(t, corednsBinary, certificate, p.unbound.Do53, limits)
		p.doqServer, p.address = c, c.QUIC
	} else {
		d := rig.NewDNSProxy(t, dnsproxyBinary, certificate, p.unbound.Do53)
		p.doqServer, p.address = d, d.QUIC
	}
	return p
}

// quicSettings begin the configuration of these tests: one connection, opened by the first query.
var quicSettings = []string{"prewarm_pools = false", "cache.enabled = false"}

func startQUICProxy(t *testing.T, settings []string, upstreams ...rig.Upstream) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: upstreams, Settings: append(slices.Clone(quicSettings), settings...)}, nil)
}

func mustAnswer(t *testing.T, proxy *rig.Proxy, what string) {
	t.Helper()
	if reply, err := rig.Ask(proxy.Addr, "udp", freshName(), 10*time.Second); err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%s: %v, %v", what, reply, err)
	}
}

// The servers themselves, asked by kdig, and through the proxy: the same answers.
func TestDoQAnswers(t *testing.T) {
	t.Parallel()
	forEachDoQ(t, rig.CoreDNSLimits{}, func(t *testing.T, p *doqPeer) {
		trust := []string{"+tls-ca=" + p.authority.CAFile, "+tls-hostname=" + rig.ServerName, "+quic"} // +quic last: the others mean TLS
		proxy := startQUICProxy(t, nil, p.upstream(p.address))
		for _, question := range [][]string{{"www.zone.example", "A"}, {"zone.example", "MX"}, {"nowhere.zone.example", "A"}} {
			want := rig.Kdig(t, p.address, append(trust, question...)...)
			got := rig.Dig(t, proxy.Addr, append([]string{"+tcp"}, question...)...)
			if got.Status != want.Status || !slices.Equal(got.Data(), want.Data()) || want.Status == "" {
				t.Errorf("%v: got %s %v, kdig from the server itself %s %v", question, got.Status, got.Data(), want.Status, want.Data())
			}
		}
	})
}

// The server is killed and started again with queries coming in: each gets a reply, and answers are back as soon as it is.
func TestDoQServerRestart(t *testing.T) {
	t.Parallel()
	forEachDoQ(t, rig.CoreDNSLimits{}, func(t *testing.T, p *doqPeer) {
		proxy := startQUICProxy(t, nil, p.upstream(p.address))
		mustAnswer(t, proxy, "before")
		wait := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 6000), Seconds: 8, QPS: 200, Timeout: 10}.Start(t)
		time.Sleep(time.Second)
		p.Kill()
		// Nobody waits for a server that is known to be gone: the kernel says so.
		if reply, err := rig.Ask(proxy.Addr, "udp", freshName(), 10*time.Second); err != nil || reply.Rcode != dns.RcodeServerFailure {
			t.Errorf("while the server is gone: %v, %v; want SERVFAIL", reply, err)
		}
		time.Sleep(time.Second)
		p.Start()
		if !rig.Holds(recoveryMax, func() bool {
			reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
			return err == nil && reply.Rcode == dns.RcodeSuccess
		}) {
			t.Errorf("no answer within %v of the server's return", recoveryMax)
		}
		result := wait()
		if result.Lost != 0 || result.Completed != result.Sent || result.RCodes["NOERROR"]+result.RCodes["SERVFAIL"] != result.Sent {
			t.Errorf("sent %d, completed %d, lost %d, %v: want every query answered", result.Sent, result.Completed, result.Lost, result.RCodes)
		}
		t.Logf("%d queries: %v", result.Sent, result.RCodes)
	})
}

// CoreDNS closes connections that were idle for a second, and the proxy sends no keep-alives: the next query gets its answer all the same,
// over a connection that is resumed, with 0-RTT where that is asked for.
func TestDoQIdleTimeout(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("0-RTT %t", early), func(t *testing.T) {
			t.Parallel()
			p := startDoQ(t, "coredns", rig.CoreDNSLimits{Idle: time.Second})
			proxy := startQUICProxy(t, []string{`quic.keep_alive = "0s"`, fmt.Sprintf("quic.early_data = %t", early)}, p.upstream(p.address))
			const rounds = 2 // quic-go waits for 5 s at least
			for range rounds {
				mustAnswer(t, proxy, "after an idle time")
				rig.Eventually(t, 10*time.Second, "the idle connection is closed", func() bool {
					return proxy.Metrics(t).Sum(t, "sdp_upstream_connections") == 0
				})
			}
			m := proxy.Metrics(t)
			if dials, resumed := m.Sum(t, "sdp_upstream_dials_total"), m.Sum(t, "sdp_upstream_tls_resumed_total"); dials != rounds || resumed != rounds-1 {
				t.Errorf("%v dials, %v resumed; want %d, %d", dials, resumed, rounds, rounds-1)
			}
			want := 0
			if early {
				want = rounds - 1
			}
			if got := m.Sum(t, "sdp_upstream_quic_early_data_total", `result="accepted"`); got != float64(want) {
				t.Errorf("0-RTT accepted %v times, want %d", got, want)
			}
			if failed := m.Sum(t, "sdp_failed_total"); failed != 0 {
				t.Errorf("%v queries failed", failed)
			}
		})
	}
}

// CoreDNS allows one stream at a time: its queries take turns, none is lost; and with another upstream there, those that it has no turn for in
// time get their answers from that.
func TestDoQStreamLimitOne(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprintf("another upstream %t", both), func(t *testing.T) {
			t.Parallel()
			p := startDoQ(t, "coredns", rig.CoreDNSLimits{Streams: 1})
			upstreams, qps := []rig.Upstream{p.upstream(p.address)}, 15 // a stream ends with a delayed ACK: up to 40 turns a second
			if both {
				other := startDoQ(t, "dnsproxy", rig.CoreDNSLimits{})
				upstreams, qps = append(upstreams, other.upstream(other.address)), 300
			}
			proxy := startQUICProxy(t, nil, upstreams...)
			mustAnswer(t, proxy, "first")
			goroutines := proxy.Goroutines(t)
			wait := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 3000), Seconds: 4, QPS: qps, Timeout: 10}.Start(t)
			time.Sleep(3 * time.Second)
			if more := proxy.Goroutines(t) - goroutines; more > 50 {
				t.Errorf("%d goroutines more while queries wait", more)
			}
			result := wait()
			if result.Lost != 0 || result.RCodes["NOERROR"] != result.Sent {
				t.Errorf("sent %d, lost %d, %v: want answers only", result.Sent, result.Lost, result.RCodes)
			}
			m := proxy.Metrics(t)
			t.Logf("%d queries, %v", result.Sent, m.Values("sdp_upstream_answers_total"))
		})
	}
}

// The path to the server changes: a NAT gives the connection another port, and it goes on; or the path of the connection is lost, and another
// connection takes over. Under load, nothing fails.
func TestDoQPathChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		change  func(r *lanetest.Relay)
		stalled float64
	}{
		{"moved", (*lanetest.Relay).Move, 0},
		{"lost", (*lanetest.Relay).Cut, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			forEachDoQ(t, rig.CoreDNSLimits{}, func(t *testing.T, p *doqPeer) {
				relay := lanetest.NewRelay(t, p.address)
				proxy := startQUICProxy(t, nil, p.upstream(relay.Addr))
				mustAnswer(t, proxy, "before")
				wait := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 3000), Seconds: 6, QPS: 100, Timeout: 10}.Start(t)
				time.Sleep(1500 * time.Millisecond)
				test.change(relay)
				result := wait()
				if result.Lost != 0 || result.RCodes["NOERROR"] != result.Sent {
					t.Errorf("sent %d, lost %d, %v: want answers only", result.Sent, result.Lost, result.RCodes)
				}
				m := proxy.Metrics(t)
				dials, stalled := m.Sum(t, "sdp_upstream_dials_total"), m.Sum(t, "sdp_upstream_quic_stalled_total")
				if stalled != test.stalled || dials != 1+test.stalled {
					t.Errorf("%v connections stalled, %v dials; want %v, %v", stalled, dials, test.stalled, 1+test.stalled)
				}
				t.Logf("%d queries: %v, dnsperf says %s", result.Sent, result.RCodes, result.Text)
			})
		})
	}
}
