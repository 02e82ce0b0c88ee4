package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	metricAddresses = "sdp_upstream_addresses"
	metricLookups   = "sdp_name_lookups_total"
	metricDDR       = "sdp_upstream_ddr"
)

// nameTimeout bounds waits for a change to be noticed; names are looked up each second in these tests.
const nameTimeout = 30 * time.Second

// everySecond makes names be looked up as often as the configuration allows.
func everySecond(server netip.AddrPort) []string {
	return []string{fmt.Sprintf(`bootstrap = {servers = "%v", min_ttl = "1s", refresh_threshold = "0s", failure_retry = "1s", jitter_percent = 0}`, server)}
}

// other is a second address of this machine.
var other = netip.MustParseAddr("127.0.0.2")

// deaf takes datagrams and connections at an address and says nothing. It counts them.
func deaf(t *testing.T, addr netip.AddrPort) *atomic.Int64 {
	t.Helper()
	heard := new(atomic.Int64)
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close(); listener.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, _, err := packets.ReadFromUDP(buf); err != nil {
				return
			}
			heard.Add(1)
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return heard
}

// named is an upstream of each kind by name, with addresses.
func named(p peers, scheme string, addresses ...netip.Addr) rig.Upstream {
	port := map[string]uint16{
		"udp": p.unbound.Do53.Port(), "tcp": p.unbound.Do53.Port(), "tls": p.unbound.TLS.Port(),
		"quic": p.dnsproxy.QUIC.Port(), "https": p.unbound.HTTPS.Port(),
	}[scheme]
	u := rig.Upstream{URL: fmt.Sprintf("%s://%s:%d", scheme, rig.ServerName, port)}
	if len(addresses) > 0 {
		list := ""
		for _, a := range addresses {
			list += fmt.Sprintf("%q, ", a)
		}
		u.Settings = []string{"addresses = [" + list + "]"}
	}
	if scheme != "udp" && scheme != "tcp" {
		u.CAFile = p.authority.CAFile
	}
	return u
}

func portOf(t *testing.T, u rig.Upstream) uint16 {
	t.Helper()
	var port uint16
	if _, err := fmt.Sscanf(u.URL[len(u.URL)-5:], "%d", &port); err != nil {
		t.Fatalf("%s: %v", u.URL, err)
	}
	return port
}

// locate makes unbound say that the upstreams' name has these addresses, for a second.
func locate(unbound *rig.Unbound, addresses ...string) {
	unbound.Forget(rig.ServerName + ".")
	for _, a := range addresses {
		unbound.Tell(rig.ServerName + ". 1 IN A " + a)
	}
}

func succeeds(proxy *rig.Proxy) bool {
	reply, err := rig.Ask(proxy.Addr, "udp", freshName(), 5*time.Second)
	return err == nil && reply.Rcode == dns.RcodeSuccess
}

// The address of a name changes while the proxy runs: the bootstrap server is asked again, and queries go to the new address.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	names := rig.NewUnbound(t, p.authority.Issue(rig.Leaf{}))
	locate(names, "127.0.0.2") // nobody is there
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{named(p, "tls")}, Settings: everySecond(names.Do53)}, nil)
	if succeeds(proxy) {
		t.Fatal("an answer from where nobody is")
	}
	locate(names, "127.0.0.1")
	rig.Eventually(t, nameTimeout, "answers from the new address", func() bool { return succeeds(proxy) })
	if lines := proxy.LogLines("has new addresses", rig.ServerName, "127.0.0.1", "127.0.0.2"); len(lines) != 1 {
		t.Errorf("the change is logged in %d lines, want 1", len(lines))
	}
}

// The bootstrap server goes away once the proxy serves. Names are looked up through the upstreams all the same, encrypted, and a change
// that only they know of is followed.
func TestNameServerGone(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	names := rig.NewUnbound(t, p.authority.Issue(rig.Leaf{}))
	locate(names, "127.0.0.1")
	locate(p.unbound, "127.0.0.1")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: fmt.Sprintf("tls://%v", p.unbound.TLS), CAFile: p.authority.CAFile}, named(p, "https")},
		Settings:  everySecond(names.Do53),
	}, nil)
	names.Kill()
	_, before, _ := p.unbound.Queries()
	lookups := func(result string) float64 {
		return proxy.Metrics(t).Sum(t, metricLookups, fmt.Sprintf("result=%q", result))
	}
	from := lookups("upstream")
	rig.Eventually(t, nameTimeout, "look-ups through the upstreams", func() bool { return lookups("upstream") >= from+3 })
	if got := lookups("failed"); got != 0 {
		t.Errorf("%v look-ups failed, want none", got)
	}
	if _, tls, _ := p.unbound.Queries(); tls == before {
		t.Error("no query came to the upstream over TLS")
	}
	locate(p.unbound, "127.0.0.1", "127.0.0.2")
	rig.Eventually(t, nameTimeout, "the second address is known", func() bool {
		return proxy.Metrics(t).Sum(t, metricAddresses, `state="known"`) == 3 // one of the first upstream, two of the second
	})
	if !succeeds(proxy) {
		t.Error("no answer")
	}
	// All upstreams down, nobody to ask: what is known stays in use, and the log says so once.
	p.unbound.Kill()
	p.dnsproxy.Kill()
	rig.Eventually(t, nameTimeout, "look-ups fail", func() bool { return lookups("failed") >= 3 })
	p.unbound.Start()
	rig.Eventually(t, nameTimeout, "answers again, at the addresses from before", func() bool { return succeeds(proxy) })
	if lines := proxy.LogLines("cannot be resolved", rig.ServerName); len(lines) != 1 {
		t.Errorf("%d lines say that the name cannot be resolved, want 1", len(lines))
	}
}

// One of two addresses is dead: no query is lost, and it is not tried each time.
func TestDeadAddress(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	for _, scheme := range []string{"udp", "tcp", "tls", "quic", "https"} {
		t.Run(scheme, func(t *testing.T) {
			upstream := named(p, scheme, other, rig.Loopback)
			heard := new(atomic.Int64)
			if scheme != "tcp" { // a TCP server that takes connections and says nothing is another matter: nothing is there
				heard = deaf(t, netip.AddrPortFrom(other, portOf(t, upstream)))
			}
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{upstream}}, nil)
			const queries = 2000
			result := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, queries), Rounds: 1, QPS: outageQPS, Timeout: 10}.Run(t)
			if result.Lost != 0 || result.RCodes["NOERROR"] != queries {
				t.Errorf("dnsperf lost %d and got %v, want %d NOERROR", result.Lost, result.RCodes, queries)
			}
			// Datagrams that were on their way when it was found out, handshakes that were tried first: not a share of all queries.
			if scheme == "tcp" {
				heard.Store(int64(proxy.Metrics(t).Sum(t, "sdp_upstream_dial_errors_total")))
			}
			if n := heard.Load(); n == 0 || n > queries/4 {
				t.Errorf("the dead address was tried %d times for %d queries, want a few", n, queries)
			} else {
				t.Logf("the dead address was tried %d times for %d queries", n, queries)
			}
			metrics := proxy.Metrics(t)
			if known := metrics.Sum(t, metricAddresses, `state="known"`); known != 2 {
				t.Errorf("%v addresses known, want 2", known)
			}
			if lines := proxy.LogLines("upstream address fails", upstream.URL, other.String()); scheme == "udp" && len(lines) == 0 {
				t.Error("the log does not say that the address fails")
			}
			if up := metrics.Sum(t, "sdp_upstream_up"); up != 1 {
				t.Error("the upstream is down although one of its addresses answers")
			}
		})
	}
}

// IPv6 is there and goes nowhere: the first query waits for IPv4 no longer than it takes to find out (RFC 8305), and is answered.
func TestBrokenIPv6(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	for _, scheme := range []string{"tls", "quic", "https"} {
		for _, first := range []string{"ipv6", "ipv4"} {
			t.Run(scheme+" "+first+" first", func(t *testing.T) {
				upstream := named(p, scheme, rig.Loopback, rig.Loopback6)
				heard := deaf(t, netip.AddrPortFrom(rig.Loopback6, portOf(t, upstream)))
				proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{upstream}, Settings: []string{
					fmt.Sprintf("addresses = {first_family = %q, attempt_delay = \"2s\"}", first), "prewarm_pools = false", `timeouts = {query = "10s", upstream = "10s", dial = "10s"}`,
				}}, nil)
				for range 3 {
					if !succeeds(proxy) {
						t.Error("no answer")
					}
				}
				if got := heard.Load() > 0; got != (first == "ipv6") {
					t.Errorf("IPv6 was tried: %v", got)
				}
			})
		}
	}
}

// A plain resolver designates an encrypted one (RFC 9462): queries go there, if its certificate is valid for the address of the plain one.
func TestDesignatedResolver(t *testing.T) {
	const question = "_dns.resolver.arpa."
	authority := rig.NewAuthority(t)
	for _, c := range []struct {
		name     string
		leaf     rig.Leaf
		settings []string
		state    string
		answers  bool // before and after
	}{
		{"upgrade", rig.Leaf{}, []string{`ddr = "upgrade"`}, "upgraded", true},
		{"require", rig.Leaf{}, []string{`ddr = "require"`}, "upgraded", true},
		{"no address in the certificate", rig.Leaf{Name: rig.ServerName}, []string{`ddr = "upgrade"`}, "unverified", true},
		{"no address in the certificate, required", rig.Leaf{Name: rig.ServerName}, []string{`ddr = "require"`}, "unverified", false},
		{"no address in the certificate, opportunistic", rig.Leaf{Name: rig.ServerName}, []string{`ddr = "require"`, "ddr_opportunistic = true"}, "upgraded", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			unbound := rig.NewUnbound(t, authority.Issue(c.leaf))
			unbound.Tell(fmt.Sprintf(`%s 60 IN SVCB 1 %s. alpn="dot" port="%d" ipv4hint="127.0.0.1"`, question, rig.ServerName, unbound.TLS.Port()))
			url := fmt.Sprintf("udp://%v", unbound.Do53)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Upstreams: []rig.Upstream{{URL: url, CAFile: authority.CAFile, Settings: c.settings}},
			}, nil)
			in := func(state string) bool {
				return proxy.Metrics(t).Sum(t, metricDDR, fmt.Sprintf("state=%q", state)) == 1
			}
			rig.Eventually(t, nameTimeout, c.state, func() bool { return in(c.state) })
			all, tls, _ := unbound.Queries()
			const queries = 20
			for range queries {
				if got := succeeds(proxy); got != c.answers {
					t.Errorf("answered: %v, want %v", got, c.answers)
				}
			}
			allAfter, tlsAfter, _ := unbound.Queries()
			all, tls = allAfter-all, tlsAfter-tls
			want := 0
			if c.state == "upgraded" {
				want = queries
			}
			if tls < want || c.state == "upgraded" && all != tls || !c.answers && all != 0 || want == 0 && tls != 0 {
				t.Errorf("%d queries came to the resolver, %d of them over TLS, want %d", all, tls, want)
			}
			if c.state == "upgraded" && len(proxy.LogLines("designated resolver from now on", url)) != 1 {
				t.Error("the upgrade is not logged once")
			}
			if c.state == "unverified" && len(proxy.LogLines("no designated resolver", url, "127.0.0.1")) != 1 {
				t.Error("it is not logged once why there is no upgrade")
			}
		})
	}
}

// What is encrypted stays encrypted when the encrypted resolver is lost, unless ddr_downgrade says otherwise.
func TestDesignatedResolverLost(t *testing.T) {
	authority := rig.NewAuthority(t)
	for _, downgrade := range []bool{false, true} {
		t.Run(fmt.Sprint("downgrade ", downgrade), func(t *testing.T) {
			t.Parallel()
			plain, secure := rig.NewUnbound(t, authority.Issue(rig.Leaf{})), rig.NewUnbound(t, authority.Issue(rig.Leaf{}))
			plain.Tell(fmt.Sprintf(`_dns.resolver.arpa. 1 IN SVCB 1 %s. alpn="dot" port="%d" ipv4hint="127.0.0.1"`, rig.ServerName, secure.TLS.Port()))
			settings := append(everySecond(rig.FreeAddr(t)), `timeouts = {query = "1s", upstream = "500ms", dial = "500ms"}`)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Settings: settings, Upstreams: []rig.Upstream{{
				URL: fmt.Sprintf("udp://%v", plain.Do53), CAFile: authority.CAFile, Settings: []string{`ddr = "upgrade"`, fmt.Sprintf("ddr_downgrade = %v", downgrade)},
			}}}, nil)
			upgraded := func() bool { return proxy.Metrics(t).Sum(t, metricDDR, `state="upgraded"`) == 1 }
			rig.Eventually(t, nameTimeout, "upgraded", upgraded)
			secure.Kill()
			if downgrade {
				rig.Eventually(t, nameTimeout, "answers of the plain resolver", func() bool { return succeeds(proxy) })
				if upgraded() || len(proxy.LogLines("WARN", "no longer encrypted")) != 1 {
					t.Error("queries are in the clear again, and that is not said loudly once")
				}
			} else {
				rig.Eventually(t, nameTimeout, "the loss is noticed", func() bool {
					succeeds(proxy)
					return len(proxy.LogLines("WARN", "stays in use")) == 1
				})
				for range 5 {
					if succeeds(proxy) {
						t.Error("an answer, though nobody encrypts")
					}
				}
			}
			secure.Start()
			rig.Eventually(t, nameTimeout, "encrypted again", func() bool { return upgraded() && succeeds(proxy) })
			if _, tls, _ := secure.Queries(); tls == 0 {
				t.Error("no query over TLS after the return")
			}
		})
	}
}
