package e2e

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// stateLinesMax is how many lines one upstream that stays broken may cause, whatever is asked: the change to down, and one
// summary of the start. A line per query or per attempt would be a hundred.
const stateLinesMax = 2

// stateLineTimeout is how long the line may take: the state is looked at a few times a second, and a dial has to time out first.
const stateLineTimeout = 10 * time.Second

// What is wrong with an upstream's certificate is said with its name and the reason, once, and clients get SERVFAIL.
func TestUntrustedCertificates(t *testing.T) {
	authority, foreign := rig.NewAuthority(t), rig.NewAuthority(t)
	for _, c := range []struct {
		name        string
		certificate rig.Certificate
		reason      string // in the words of crypto/x509
	}{
		{"unknown authority", foreign.Issue(rig.Leaf{}), "unknown authority"},
		{"expired", authority.Issue(rig.Leaf{NotAfter: time.Now().Add(-time.Hour)}), "expired"},
		{"wrong name", authority.Issue(rig.Leaf{Name: "other.example"}), "not " + rig.ServerName},
	} {
		t.Run(c.name, func(t *testing.T) {
			unbound := rig.NewUnbound(t, c.certificate)
			p := peers{authority, c.certificate, unbound, rig.NewDNSProxy(t, dnsproxyBinary, c.certificate, unbound.Do53)}
			for _, kind := range upstreamKinds[2:] { // the encrypted ones
				t.Run(kind.name, func(t *testing.T) {
					t.Parallel()
					upstream := kind.config(p)
					proxy := startProxy(t, "", upstream)
					allServfail(t, proxy)
					checkStateLines(t, proxy, upstream.URL, c.reason)
				})
			}
		})
	}
}

// An upstream that cannot be reached, or takes connections and says nothing.
func TestUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // after the parallel subtests
	silentUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silentUDP.Close() })
	for _, scheme := range []string{"udp", "tcp", "tls", "quic", "https"} {
		t.Run(scheme+" refused", func(t *testing.T) {
			t.Parallel()
			url := fmt.Sprintf("%s://%v", scheme, rig.FreeAddr(t))
			proxy := startProxy(t, "", rig.Upstream{URL: url})
			allServfail(t, proxy)
			checkStateLines(t, proxy, url, "refused")
		})
		t.Run(scheme+" silent", func(t *testing.T) {
			t.Parallel()
			address := silent.Addr()
			if scheme == "udp" || scheme == "quic" {
				address = silentUDP.LocalAddr()
			}
			url := fmt.Sprintf("%s://%v", scheme, address)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Upstreams: []rig.Upstream{{URL: url}},
				Settings:  []string{`timeouts.query = "1s"`, `timeouts.upstream = "300ms"`, `timeouts.dial = "300ms"`},
			}, nil)
			allServfail(t, proxy)
			checkStateLines(t, proxy, url, "")
		})
	}
}

// The log says when an upstream comes back, once.
func TestUpstreamComesBack(t *testing.T) {
	p := startPeers(t)
	upstream := upstreamKinds[2].config(p)
	p.unbound.Kill()
	proxy := startProxy(t, "", upstream)
	allServfail(t, proxy)
	checkStateLines(t, proxy, upstream.URL, "refused")
	p.unbound.Start()
	rig.Eventually(t, recoveryMax, "answers after the upstream started", func() bool {
		reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
		return err == nil && reply.Rcode == dns.RcodeSuccess
	})
	rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 100), Rounds: 1}.Run(t)
	if lines := proxy.LogLines(upstream.URL, "up"); len(lines) == 0 || len(proxy.LogLines(upstream.URL)) > 2*stateLinesMax {
		t.Errorf("want one line for each change of state, got %q", proxy.LogLines(upstream.URL))
	}
}

// allServfail asks for 100 names and wants SERVFAIL for each.
func allServfail(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
	result := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 100), Rounds: 1, Timeout: 10}.Run(t)
	if result.Lost != 0 || result.RCodes["SERVFAIL"] != 100 {
		t.Errorf("dnsperf lost %d and got %v, want 100 SERVFAIL", result.Lost, result.RCodes)
	}
}

func checkStateLines(t *testing.T, proxy *rig.Proxy, url, reason string) {
	t.Helper()
	if !rig.Holds(stateLineTimeout, func() bool {
		return len(proxy.LogLines("WARN", url, reason)) != 0 || len(proxy.LogLines("ERROR", url, reason)) != 0
	}) {
		t.Errorf("no warning names %s and %q; lines about it: %q", url, reason, proxy.LogLines(url))
	}
	lines := append(proxy.LogLines("WARN", url), proxy.LogLines("ERROR", url)...)
	if len(lines) > stateLinesMax {
		t.Errorf("%d lines after 100 queries, want at most %d: %q", len(lines), stateLinesMax, lines)
	}
}
