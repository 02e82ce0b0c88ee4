package e2e

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

const (
	clientCookie = "2464c4abcf10c957"
	farmSecret   = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	nextSecret   = "445536bcd2513298075a5d379663c962"
)

// Real dig and kdig get cookies that they find good, over UDP and TCP, from the cache and from the upstream, and what they ask for beside them.
func TestCookies(t *testing.T) {
	actor := rig.NewActor(t)
	proxy := actorProxy(t, actor, `edns.nsid = "proxy-1"`)
	for _, arguments := range [][]string{
		{"a.bulk.example"},
		{"a.bulk.example"},
		{"+tcp", "a.bulk.example"},
		{"+tcp", "b.bulk.example"},
		{"x.invalid"},
		{"+opcode=notify", "example"},
		{"+header-only"},
	} {
		got := rig.Dig(t, proxy.Addr, append([]string{"+cookie=" + clientCookie}, arguments...)...)
		if !strings.HasPrefix(got.Cookie, clientCookie+"01000000") || len(got.Cookie) != 48 || !strings.Contains(got.Text, got.Cookie+" (good)") {
			t.Errorf("dig %v: cookie %q:\n%s", arguments, got.Cookie, got.Text)
		}
	}
	for _, arguments := range [][]string{{"a.bulk.example"}, {"+tcp", "a.bulk.example"}} {
		got := rig.Kdig(t, proxy.Addr, append([]string{"+cookie=" + clientCookie, "+nsid"}, arguments...)...)
		if !strings.HasPrefix(got.Cookie, clientCookie) || len(got.Cookie) != 48 || !strings.Contains(got.Text, `"proxy-1"`) {
			t.Errorf("kdig %v: cookie %q:\n%s", arguments, got.Cookie, got.Text)
		}
	}
	if got := rig.Dig(t, proxy.Addr, "+nsid", "a.bulk.example"); got.Cookie != "" || !strings.Contains(got.Text, `("proxy-1")`) {
		t.Errorf("dig +nsid without a cookie:\n%s", got.Text)
	}
	if got := rig.Dig(t, proxy.Addr, "+ednsopt=10:010203", "a.bulk.example"); got.Status != "FORMERR" || !strings.Contains(got.Text, "malformed cookie") {
		t.Errorf("a cookie of 3 bytes:\n%s", got.Text)
	}
	if got := rig.Dig(t, proxy.Addr, "+opcode=notify", "example"); got.Status != "NOTIMP" || !strings.Contains(got.Text, "EDE: 21 (Not Supported): (opcode)") {
		t.Errorf("a NOTIFY:\n%s", got.Text)
	}

	proxy = actorProxy(t, actor, `edns.cookies = false`)
	if got := rig.Dig(t, proxy.Addr, "+cookie", "+nsid", "a.bulk.example"); got.Status != "NOERROR" || got.Cookie != "" || strings.Contains(got.Text, "NSID:") {
		t.Errorf("cookies are off, and there is no NSID:\n%s", got.Text)
	}
}

// Two proxies behind one address accept each other's cookies while they have the same secrets, and go on doing so while the secret is changed on
// one after the other. With secrets of their own they do not.
func TestCookiesOfAFarm(t *testing.T) {
	t.Parallel()
	actor := rig.NewActor(t)
	verdicts := func(proxy *rig.Proxy, cookie string) (valid, invalid float64) {
		before := proxy.Metrics(t)
		rig.Dig(t, proxy.Addr, "+cookie="+cookie, "a.bulk.example")
		rig.Eventually(t, 10*time.Second, "the cookie is counted", func() bool {
			delta := proxy.Metrics(t).Delta(before)
			valid, invalid = delta.Sum(t, "sdp_cookies_total", `cookie="valid"`), delta.Sum(t, "sdp_cookies_total", `cookie="invalid"`)
			return valid+invalid == 1
		})
		return valid, invalid
	}
	accepts := func(want bool, what string, proxy *rig.Proxy, cookie string) {
		t.Helper()
		if valid, invalid := verdicts(proxy, cookie); (valid == 1) != want {
			t.Errorf("%s: %v valid, %v invalid", what, valid, invalid)
		}
	}
	given := func(proxy *rig.Proxy) string {
		return rig.Dig(t, proxy.Addr, "+cookie="+clientCookie, "a.bulk.example").Cookie
	}

	file := filepath.Join(t.TempDir(), "secrets")
	write := func(secrets ...string) {
		if err := os.WriteFile(file, []byte(strings.Join(secrets, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(farmSecret)
	one := actorProxy(t, actor, `edns.cookie_secret_file = "`+file+`"`)
	other := actorProxy(t, actor, `edns.cookie_secrets = ["`+farmSecret+`", "`+nextSecret+`"]`)
	accepts(true, "the other, of one's cookie", other, given(one))
	accepts(true, "one, of the other's cookie", one, given(other))

	old := given(one)
	write(nextSecret, farmSecret) // on one first
	before := len(one.LogLines("reloaded"))
	one.Signal(syscall.SIGHUP)
	rig.Eventually(t, 10*time.Second, "the secrets are reloaded", func() bool { return len(one.LogLines("reloaded")) > before })
	fresh := given(one)
	if fresh == old {
		t.Error("the cookie is the same with another secret")
	}
	accepts(true, "one, of a cookie of the secret before", one, old)
	accepts(true, "the other, of a cookie of the next secret", other, fresh)

	alone := actorProxy(t, actor)
	accepts(false, "one without the secret", alone, old)
	accepts(true, "the same, of its own", alone, given(alone))
	accepts(false, "another without the secret", actorProxy(t, actor), given(alone))
	stolen := new(dns.Msg).SetQuestion("a.bulk.example.", dns.TypeA)
	stolen.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: old}}
	client := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 5, 1)}}, Timeout: 10 * time.Second}
	metrics := one.Metrics(t)
	if _, _, err := client.Exchange(stolen, one.Addr.String()); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 10*time.Second, "the cookie from another address is found invalid", func() bool {
		return one.Metrics(t).Delta(metrics).Sum(t, "sdp_cookies_total", `cookie="invalid"`) == 1
	})
}

// A farm may have servers of several makers (RFC 9018 §1): what a real NSD and this proxy make with one secret, each finds valid, and gives again.
func TestCookiesBesideNSD(t *testing.T) {
	t.Parallel()
	proxy := actorProxy(t, rig.NewActor(t), `edns.cookie_secrets = "`+farmSecret+`"`)
	zone := "zone.example. 300 IN SOA ns. h. 1 3600 1200 604800 60\nzone.example. 300 IN NS ns.zone.example.\nwww.zone.example. 300 IN A 192.0.2.1\n"
	nsd := rig.NewNSD(t, map[string]string{"zone.example": zone}, rig.TSIG{}, netip.AddrPort{})
	nsd.AnswerCookies(farmSecret)
	of := func(server netip.AddrPort, cookie string) string {
		return rig.Dig(t, server, "+cookie="+cookie, "www.zone.example").Cookie
	}
	ours, theirs := of(proxy.Addr, clientCookie), of(nsd.Addr, clientCookie)
	if len(ours) != 48 || len(theirs) != 48 {
		t.Fatalf("cookies %q of the proxy, %q of NSD", ours, theirs)
	}
	time.Sleep(1100 * time.Millisecond) // a cookie that is made now has another time in it
	if again := of(nsd.Addr, ours); again != ours {
		t.Errorf("NSD gives %s for %s of the proxy", again, ours)
	}
	if again := of(proxy.Addr, theirs); again != theirs {
		t.Errorf("the proxy gives %s for %s of NSD", again, theirs)
	}
	forged := ours[:len(ours)-1] + map[bool]string{true: "1", false: "0"}[ours[len(ours)-1] == '0']
	if again := of(nsd.Addr, forged); again == forged {
		t.Error("NSD gives any cookie again: the test shows nothing")
	}
	if again := of(proxy.Addr, forged); again == forged {
		t.Error("the proxy gives a forged cookie again")
	}
}
