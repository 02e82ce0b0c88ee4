package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// actorProxy starts a proxy before an actor.
func actorProxy(t *testing.T, actor *rig.Actor, settings ...string) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + actor.Addr.String()}}, Settings: settings}, nil)
}

// What [local] answers, upstreams never see; with everything set to "forward" they see all of it.
func TestLocalAnswers(t *testing.T) {
	questions := []struct {
		arguments     []string
		status, holds string
	}{
		{[]string{"LocalHost", "A"}, "NOERROR", "127.0.0.1"},
		{[]string{"localhost", "AAAA"}, "NOERROR", "::1"},
		{[]string{"a.invalid"}, "NXDOMAIN", "nobody.invalid."},
		{[]string{"expyuzz4wqqyqhjn.onion"}, "NXDOMAIN", "onion."},
		{[]string{"-x", "10.1.2.3"}, "NXDOMAIN", "10.in-addr.arpa."},
		{[]string{"-x", "fd00::1"}, "NXDOMAIN", "d.f.ip6.arpa."},
		{[]string{"_dns.resolver.arpa", "SVCB"}, "NOERROR", "resolver.arpa."},
		{[]string{"use-application-dns.net"}, "NXDOMAIN", "use-application-dns.net."},
		{[]string{"+notcp", "a.bulk.example", "ANY"}, "NOERROR", "RFC8482"},
		{[]string{"+tcp", "a.bulk.example", "ANY"}, "NOERROR", "RFC8482"},
	}
	actor := rig.NewActor(t)
	proxy := actorProxy(t, actor, `local.application_dns = "nxdomain"`, `local.version = "none of your business"`, `local.id = "proxy-1"`)
	before := actor.Queries()
	for _, q := range questions {
		for _, ask := range []func(...string) rig.Answer{
			func(a ...string) rig.Answer { return rig.Dig(t, proxy.Addr, a...) },
			func(a ...string) rig.Answer { return rig.Kdig(t, proxy.Addr, append([]string{"+edns"}, a...)...) },
		} {
			got := ask(q.arguments...)
			if got.Status != q.status || !strings.Contains(got.Text, q.holds) {
				t.Errorf("%v: got %s, want %s with %q:\n%s", q.arguments, got.Status, q.status, q.holds, got.Text)
			}
		}
	}
	for name, text := range map[string]string{
		"version.bind": "none of your business", "version.server": "none of your business", "id.server": "proxy-1", "hostname.bind": "proxy-1",
	} {
		if got := rig.Dig(t, proxy.Addr, "CH", "TXT", name); got.Status != "NOERROR" || !strings.Contains(got.Text, text) {
			t.Errorf("%s: got %s:\n%s", name, got.Status, got.Text)
		}
	}
	if got := actor.Queries() - before; got != 0 {
		t.Errorf("the upstream was asked %d times", got)
	}

	proxy = actorProxy(t, actor, `local = {localhost = "forward", nonexistent = [], private_reverse = "forward", resolver_arpa = "forward", any = "forward"}`)
	before = actor.Queries()
	for _, q := range questions[:len(questions)-1] {
		rig.Dig(t, proxy.Addr, q.arguments...)
	}
	if got := actor.Queries() - before; got != len(questions)-1 {
		t.Errorf("all forwarded: the upstream was asked %d times, want %d", got, len(questions)-1)
	}
	if got := rig.Dig(t, proxy.Addr, "CH", "TXT", "version.bind"); got.Status != "REFUSED" {
		t.Errorf("version.bind, not set: got %s, want REFUSED", got.Status)
	}
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
			proxy := actorProxy(t, actor, c.setting, `timeouts = {query = "20s", upstream = "10s"}`) // a busy machine is not asked again
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
			rig.Eventually(t, settleTimeout, "held failures are counted", func() bool { // figures are published a moment later
				return int(proxy.Metrics(t).Sum(t, "sdp_held_failures_total")) == 3-c.asked
			})
		})
	}
}

// A client that has waited for stale_after gets the answer past its TTL (RFC 8767 §5) while the upstream is silent, the names of never_stale
// excepted.
func TestStaleAfter(t *testing.T) {
	actor := rig.NewActor(t)
	proxy := actorProxy(t, actor, `cache = {max_ttl = "1s", failure_ttl = "0s"}`, `timeouts = {query = "4s", upstream = "2s"}`,
		`pool.default = {when_down = "stale", stale_after = "100ms", never_stale = ["b.bulk.example"]}`)
	for _, name := range []string{"a.bulk.example", "www.b.bulk.example"} {
		if got := rig.Dig(t, proxy.Addr, name); got.Status != "NOERROR" {
			t.Fatalf("%s: got %s", name, got.Status)
		}
	}
	time.Sleep(2100 * time.Millisecond) // TTLs count whole seconds
	actor.Mute()
	for _, extra := range []string{"+notcp", "+tcp"} {
		got := rig.Dig(t, proxy.Addr, extra, "a.bulk.example")
		if got.Status != "NOERROR" || got.TTL() != 30 || !strings.Contains(got.Text, "Stale Answer") {
			t.Errorf("%s: got %s with TTL %d:\n%s", extra, got.Status, got.TTL(), got.Text)
		}
	}
	if got := rig.Dig(t, proxy.Addr, "www.b.bulk.example"); got.Status != "SERVFAIL" {
		t.Errorf("a name of never_stale: got %s, want SERVFAIL", got.Status)
	}
}

// A popular answer is asked for again before its TTL ends, without a client that waits.
func TestPrefetch(t *testing.T) {
	actor := rig.NewActor(t)
	proxy := actorProxy(t, actor, `cache = {max_ttl = "8s", prefetch = 50}`)
	before := actor.Queries()
	rig.Eventually(t, time.Minute, "a refresh", func() bool {
		if got := rig.Dig(t, proxy.Addr, "a.bulk.example"); got.Status != "NOERROR" {
			t.Fatalf("got %s", got.Status)
		}
		time.Sleep(200 * time.Millisecond)
		return proxy.Metrics(t).Sum(t, "sdp_cache_prefetches_total") > 0
	})
	metrics := proxy.Metrics(t)
	asked, misses, refreshes := actor.Queries()-before, int(metrics.Sum(t, metricMisses)), int(metrics.Sum(t, "sdp_cache_prefetches_total"))
	if asked != misses+refreshes {
		t.Errorf("the upstream was asked %d times for %d misses and %d refreshes", asked, misses, refreshes)
	}
}
