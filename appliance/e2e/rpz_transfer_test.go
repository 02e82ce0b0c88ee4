package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

var transferKey = rig.TSIG{Name: "transfer-key", Secret: "c2VjcmV0LW9mLXRoZS10ZXN0cw=="}

// zoneSetting is one [[rpz.zone]] that comes from a primary.
func zoneSetting(primary netip.AddrPort, key rig.TSIG, more string) string {
	return fmt.Sprintf("rpz.zone = [{name = \"rpz.test\", primaries = [%q], tsig_name = %q, tsig_secret = %q, min_refresh = \"1h\"%s}]", primary, key.Name, key.Secret, more)
}

// filler is n triggers that nobody asks for, enough that a transfer takes many messages, most of which NSD does not sign.
func filler(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "filler%d.example CNAME .\n32.%d.%d.%d.10.rpz-ip CNAME .\n", i, i&255, i>>8&255, i>>16)
	}
	return b.String()
}

func inForce(t *testing.T, proxy *rig.Proxy, serial int) func() bool {
	return func() bool { return proxy.Metrics(t).Sum(t, "sdp_rpz_serial") == float64(serial) }
}

func loads(t *testing.T, proxy *rig.Proxy, result string) int {
	return int(proxy.Metrics(t).Sum(t, "sdp_rpz_loads_total", fmt.Sprintf("result=%q", result)))
}

// TestPolicyTransfer: a zone comes from real NSD by AXFR, its changes by NOTIFY and IXFR, all signed; it is kept on disk, and in force at the next start
// though its primary has gone.
func TestPolicyTransfer(t *testing.T) {
	notify := rig.FreeAddr(t)
	zones := authorityZones()
	zones["rpz.test"] = policyText(1, filler(20_000))
	nsd := rig.NewNSD(t, zones, transferKey, notify)
	directory := rig.SharedDir(t)
	config := rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + nsd.Addr.String()}},
		Settings: []string{
			"local.nonexistent = []", fmt.Sprintf("rpz.notify_listen = %q", notify), fmt.Sprintf("rpz.directory = %q", directory), zoneSetting(nsd.Addr, transferKey, ", log = true"),
		},
	}
	proxy := rig.StartProxy(t, proxyBinary, config, nil)
	rig.Eventually(t, 20*time.Second, "the zone is in force", inForce(t, proxy, 1))
	if got := outcome(t, proxy.Addr, "udp", "filler19999.example.", dns.TypeA); got != "NXDOMAIN " {
		t.Errorf("a trigger of the whole zone: got %s", got)
	}

	// The refresh timer is an hour: what comes, comes by NOTIFY.
	nsd.Change("rpz.test", policyText(2, filler(19_990)+"new.example A 10.3.3.3\nhost20.example CNAME .\n"))
	rig.Eventually(t, 20*time.Second, "the change is in force", inForce(t, proxy, 2))
	for name, want := range map[string]string{
		"new.example.": "NOERROR new.example. A 10.3.3.3", "host20.example.": "NXDOMAIN ", "host21.example.": "NOERROR host21.example. A 198.51.100.21", "host0.example.": "NXDOMAIN ",
	} {
		if got := outcome(t, proxy.Addr, "udp", name, dns.TypeA); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if axfr, ixfr := loads(t, proxy, "axfr"), loads(t, proxy, "ixfr"); axfr != 1 || ixfr != 1 {
		t.Errorf("%d whole and %d incremental transfers, want 1 and 1", axfr, ixfr)
	}
	if got := proxy.Metrics(t).Sum(t, "sdp_rpz_triggers"); got != 40_000-20+2+38 {
		t.Errorf("%v triggers", got)
	}
	rig.Eventually(t, 10*time.Second, "the hit is logged", func() bool {
		return len(proxy.LogLines("response policy", "host20.example.", "action=nxdomain", "trigger=qname")) == 1
	})

	// Strangers' NOTIFYs are refused: not signed, and about another zone.
	for _, zone := range []string{"rpz.test.", "other.test."} {
		m := new(dns.Msg)
		m.SetNotify(zone)
		r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, notify.String())
		if err != nil || r.Rcode != dns.RcodeRefused {
			t.Errorf("NOTIFY about %s without a signature: %v, %v", zone, r, err)
		}
	}
	wantFigure(t, proxy, 2, "sdp_rpz_notifies_refused_total")

	nsd.Kill()
	proxy.Stop()
	again := rig.StartProxy(t, proxyBinary, config, nil)
	if !inForce(t, again, 2)() {
		t.Error("the last good copy is not in force")
	}
	if got := outcome(t, again.Addr, "udp", "host20.example.", dns.TypeA); got != "NXDOMAIN " {
		t.Errorf("from the copy: got %s", got)
	}
}

// TestPolicyTransferRefused: with another key than the primary's nothing is taken, and the log says why.
func TestPolicyTransferRefused(t *testing.T) {
	zones := authorityZones()
	zones["rpz.test"] = policyText(1, "")
	nsd := rig.NewNSD(t, zones, transferKey, netip.AddrPort{})
	for what, key := range map[string]rig.TSIG{
		"another secret": {Name: transferKey.Name, Secret: "YW5vdGhlcg=="},
		"another name":   {Name: "other-key", Secret: transferKey.Secret},
		"no key":         {},
	} {
		proxy := rig.StartProxy(t, proxyBinary, rig.Config{
			Upstreams: []rig.Upstream{{URL: "udp://" + nsd.Addr.String()}}, Settings: []string{zoneSetting(nsd.Addr, key, "")},
		}, nil)
		rig.Eventually(t, 20*time.Second, what+": the transfer fails", func() bool { return loads(t, proxy, "transfer_failed") != 0 })
		if got := proxy.LogLines("response policy zone not refreshed", nsd.Addr.String()); len(got) != 1 {
			t.Errorf("%s: the log has %q", what, got)
		} else {
			t.Logf("%s: %s", what, got[0])
		}
		if got := outcome(t, proxy.Addr, "udp", "host0.example.", dns.TypeA); got != "NOERROR host0.example. A 198.51.100.0" {
			t.Errorf("%s: got %s", what, got)
		}
	}
}

// TestPolicyUpdatesUnderLoad: the zone changes five times while a client asks without a pause, and no query is lost or failed.
func TestPolicyUpdatesUnderLoad(t *testing.T) {
	notify := rig.FreeAddr(t)
	zones := authorityZones()
	zones["rpz.test"] = policyText(1, filler(5000))
	nsd := rig.NewNSD(t, zones, transferKey, notify)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + rig.NewUnbound(t, rig.NewAuthority(t).Issue(rig.Leaf{})).Do53.String()}}, // NSD pauses when it reloads
		Settings:  []string{fmt.Sprintf("rpz.notify_listen = %q", notify), zoneSetting(nsd.Addr, transferKey, "")},
	}, nil)
	rig.Eventually(t, 20*time.Second, "the zone is in force", inForce(t, proxy, 1))
	client := rig.StartSteady(t, proxy.Addr, 500, "updates")
	for serial := 2; serial <= 6; serial++ {
		nsd.Change("rpz.test", policyText(serial, filler(5000)+fmt.Sprintf("round%d.example CNAME .\n", serial)))
		rig.Eventually(t, 20*time.Second, "the change is in force", inForce(t, proxy, serial))
		if got := outcome(t, proxy.Addr, "udp", fmt.Sprintf("round%d.example.", serial), dns.TypeA); got != "NXDOMAIN " {
			t.Errorf("serial %d: got %s", serial, got)
		}
	}
	tally := client.Stop(5 * time.Second)["updates"]
	t.Logf("%d queries, slowest %v", tally.Sent, tally.Slowest)
	if tally.Lost != 0 || tally.Failed() != 0 || tally.Sent == 0 {
		t.Errorf("%d queries: %d lost, %d failed", tally.Sent, tally.Lost, tally.Failed())
	}
}

// TestPolicySwapOfAMillion: a zone with a million triggers is read and put in place of another one while a client asks. What its queries take at most
// is printed beside a run without: it depends on the machine, which has other work to do while the zone is read.
func TestPolicySwapOfAMillion(t *testing.T) {
	unbound := rig.NewUnbound(t, rig.NewAuthority(t).Issue(rig.Leaf{}))
	file := filepath.Join(rig.SharedDir(t), "rpz.zone")
	var b strings.Builder
	b.WriteString(policyText(2, ""))
	for i := range 1_000_000 {
		fmt.Fprintf(&b, "bad-host-%07d.example CNAME .\n", i)
	}
	put := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(policyText(1, ""))
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + unbound.Do53.String()}},
		Settings:  []string{fmt.Sprintf("rpz.zone = [{name = \"rpz.test\", file = %q}]", file)},
	}, nil)
	client := rig.StartSteady(t, proxy.Addr, 500, "calm")
	time.Sleep(3 * time.Second)
	client.Phase("swap")
	before := proxy.RSS(t)
	put(b.String())
	rig.Eventually(t, time.Minute, "the million is in force", inForce(t, proxy, 2))
	if got := outcome(t, proxy.Addr, "udp", "bad-host-0999999.example.", dns.TypeA); got != "NXDOMAIN " {
		t.Errorf("got %s", got)
	}
	for phase, tally := range client.Stop(5 * time.Second) {
		t.Logf("%s: %d queries, slowest %v", phase, tally.Sent, tally.Slowest)
		if tally.Lost != 0 || tally.Failed() != 0 || tally.Sent == 0 {
			t.Errorf("%s: %d queries: %d lost, %d failed", phase, tally.Sent, tally.Lost, tally.Failed())
		}
	}
	bytes, triggers := proxy.Metrics(t).Sum(t, "sdp_rpz_bytes"), proxy.Metrics(t).Sum(t, "sdp_rpz_triggers")
	t.Logf("%.1f bytes a trigger; resident memory %d to %d MiB", bytes/triggers, before>>20, proxy.RSS(t)>>20)
	if bytes/triggers > 60 {
		t.Errorf("%.1f bytes a trigger", bytes/triggers)
	}
}
