package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// What is changed in the answers of a real unbound, as dig sees it: DNS64 with its reverse names, addresses of one's own network, names below one
// that does not exist. Each key has its effect, and a reload ends it.
func TestChangedAnswers(t *testing.T) {
	unbound := rig.NewUnbound(t, rig.NewAuthority(t).Issue(rig.Leaf{}))
	unbound.Tell("v4.zone.example. 3600 IN A 198.41.0.4")
	unbound.Tell("inside.zone.example. 3600 IN A 10.1.2.3")
	unbound.Tell("printer.corp.zone.example. 3600 IN A 10.1.2.4")
	unbound.Tell("ipv4only.arpa. 3600 IN A 192.0.0.170")
	unbound.Tell("4.0.41.198.in-addr.arpa. 3600 IN PTR v4.zone.example.")
	cfg := rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + unbound.Do53.String()}},
		Settings: []string{
			`dns64.prefix = "64:ff9b::/96"`, `dns64.exclude = ["2001:db8:1::/48"]`,
			`rebinding = {action = "refused", addresses = ["10.0.0.0/8"], allowed = "corp.zone.example"}`,
			`cache.nxdomain_cut = true`,
		},
	}
	unbound.Tell("v6.zone.example. 3600 IN A 198.41.0.5")
	unbound.Tell("v6.zone.example. 3600 IN AAAA 2001:db8:1::5")
	proxy := rig.StartProxy(t, proxyBinary, cfg, nil)
	for _, q := range []struct {
		name          string
		arguments     []string
		status, holds string
	}{
		{"made from A", []string{"v4.zone.example", "AAAA"}, "NOERROR", "64:ff9b::c629:4"},
		{"its own", []string{"www.zone.example", "AAAA"}, "NOERROR", "2001:db8::80"},
		{"in place of one that is excluded", []string{"v6.zone.example", "AAAA"}, "NOERROR", "64:ff9b::c629:5"},
		{"the prefix is found out", []string{"ipv4only.arpa", "AAAA"}, "NOERROR", "64:ff9b::c000:aa"},
		{"reverse", []string{"-x", "64:ff9b::c629:4"}, "NOERROR", "PTR v4.zone.example."},
		{"a private address", []string{"inside.zone.example"}, "REFUSED", "Blocked"},
		{"an own name", []string{"printer.corp.zone.example"}, "NOERROR", "10.1.2.4"},
		{"does not exist", []string{"gone.zone.example"}, "NXDOMAIN", "SOA"},
		{"nor what is below", []string{"a.b.gone.zone.example", "MX"}, "NXDOMAIN", "EDE: 29"},
	} {
		for _, ask := range []func() rig.Answer{
			func() rig.Answer { return rig.Dig(t, proxy.Addr, q.arguments...) },
			func() rig.Answer {
				return rig.Kdig(t, proxy.Addr, append([]string{"+tcp", "+edns"}, q.arguments...)...)
			},
		} {
			if got := ask(); got.Status != q.status || !strings.Contains(strings.Join(strings.Fields(got.Text), " "), q.holds) {
				t.Errorf("%s: want %s with %q, got\n%s", q.name, q.status, q.holds, got.Text)
			}
		}
	}
	for series, want := range map[string]float64{
		`sdp_changed_answers_total{reason="dns64"}`: 3, `sdp_changed_answers_total{reason="dns64_reverse"}`: 1,
		`sdp_changed_answers_total{reason="rebinding"}`: 1, `sdp_nxdomain_cuts_total`: 2,
	} {
		var got float64
		if !rig.Holds(settleTimeout, func() bool { got = proxy.Metrics(t)[series]; return got == want }) {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	cfg = proxy.Config
	cfg.Settings = []string{"cache.enabled = false"}
	proxy.WriteConfig(t, cfg.Text())
	proxy.Signal(syscall.SIGHUP)
	rig.Eventually(t, time.Minute, "the reload", func() bool { return len(proxy.LogLines("msg=reloaded")) == 1 })
	for _, q := range [][]string{{"v4.zone.example", "AAAA"}, {"-x", "64:ff9b::c629:4"}} {
		if got := rig.Dig(t, proxy.Addr, q...); slices.ContainsFunc(got.Records, func(r string) bool { return strings.Contains(r, "ff9b") }) {
			t.Errorf("switched off, but:\n%s", got.Text)
		}
	}
	if got := rig.Dig(t, proxy.Addr, "inside.zone.example"); got.Status != "NOERROR" {
		t.Errorf("switched off, but:\n%s", got.Text)
	}
}

// NOTIFY, UPDATE and other classes are treated as the configuration says; unbound answers version.bind of class CHAOS.
func TestRequests(t *testing.T) {
	unbound := rig.NewUnbound(t, rig.NewAuthority(t).Issue(rig.Leaf{}))
	upstreams := []rig.Upstream{{URL: "udp://" + unbound.Do53.String()}}
	standard := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: upstreams}, nil)
	other := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: upstreams, Settings: []string{
		`requests = {notify = "refused", opcodes = "refused", transfers = "refused", classes = "forward", loop_interval = "0s"}`,
	}}, nil)
	for _, q := range []struct {
		arguments       []string
		standard, other string
	}{
		{[]string{"+opcode=NOTIFY", "zone.example", "SOA"}, "NOTIMP", "REFUSED"},
		{[]string{"+opcode=UPDATE", "zone.example", "SOA"}, "NOTIMP", "NOTIMP"},
		{[]string{"+opcode=STATUS", "zone.example", "SOA"}, "NOTIMP", "REFUSED"},
		{[]string{"-c", "CH", "-t", "TXT", "version.bind"}, "REFUSED", "NOERROR"},
		{[]string{"-c", "HS", "-t", "A", "zone.example"}, "REFUSED", "REFUSED"},
	} {
		if got := rig.Dig(t, standard.Addr, q.arguments...); got.Status != q.standard {
			t.Errorf("%v: got %s, want %s", q.arguments, got.Status, q.standard)
		}
		if got := rig.Dig(t, other.Addr, q.arguments...); got.Status != q.other {
			t.Errorf("%v, configured: got %s, want %s", q.arguments, got.Status, q.other)
		}
	}
	for proxy, want := range map[*rig.Proxy]int{standard: dns.RcodeNotImplemented, other: dns.RcodeRefused} {
		for _, qtype := range []uint16{dns.TypeAXFR, dns.TypeIXFR} {
			query := new(dns.Msg).SetQuestion("zone.example.", qtype)
			if got, _, err := (&dns.Client{Net: "tcp"}).Exchange(query, proxy.Addr.String()); err != nil || got.Rcode != want {
				t.Errorf("%s: got %v, %v, want %s", dns.TypeToString[qtype], got, err, dns.RcodeToString[want])
			}
		}
	}
}
