package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Pins, printed by openssl as the example says, decide about real servers of every kind: with certificate authorities and in their place.
func TestPins(t *testing.T) {
	authority, foreign := rig.NewAuthority(t), rig.NewAuthority(t)
	certificate := authority.Issue(rig.Leaf{})
	unbound := rig.NewUnbound(t, certificate)
	p := peers{authority, certificate, unbound, rig.NewDNSProxy(t, dnsproxyBinary, certificate, unbound.Do53)}
	pin, other := certificate.Pin(t), foreign.Issue(rig.Leaf{}).Pin(t)
	for _, kind := range upstreamKinds[2:] { // the encrypted ones
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			upstream := kind.config(p)
			upstream.Settings = []string{fmt.Sprintf("pins = [%q, %q]", other, pin)}
			answered(t, startProxy(t, "", upstream))

			upstream.CAFile = foreign.CAFile
			upstream.Settings = []string{fmt.Sprintf("pins = [%q]", pin)}
			proxy := startProxy(t, "", upstream)
			allServfail(t, proxy)
			checkStateLines(t, proxy, upstream.URL, "ca_file") // the advice

			upstream.CAFile, upstream.TLSName = "", "nobody.example" // neither counts
			upstream.Settings = append(upstream.Settings, "pin_only = true")
			answered(t, startProxy(t, "", upstream))

			upstream.Settings = []string{fmt.Sprintf("pins = [%q]", other), "pin_only = true"}
			proxy = startProxy(t, "", upstream)
			allServfail(t, proxy)
			checkStateLines(t, proxy, upstream.URL, pin) // what was seen, to be copied if it is right
		})
	}
}

func answered(t *testing.T, proxy *rig.Proxy) {
	t.Helper()
	reply, err := rig.Ask(proxy.Addr, "udp", freshName(), recoveryMax)
	if err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Errorf("got %v, %v, want an answer; log:\n%s", reply, err, proxy.Log())
	}
}

// Each kind of upstream agrees on a group, and on the hybrid one where the server knows it: dnsproxy does, for it is built with our Go; a
// server that does not (unbound with OpenSSL before 3.5) works all the same.
func TestKeyExchange(t *testing.T) {
	p := startPeers(t)
	for _, kind := range upstreamKinds[2:] {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			upstream := kind.config(p)
			proxy := startProxy(t, "", upstream)
			answered(t, proxy)
			series := ""
			for labels := range proxy.Metrics(t).Values("sdp_upstream_tls_info") {
				series = labels
			}
			t.Log(series)
			if !strings.Contains(series, `version="TLS 1.3"`) || strings.Contains(series, `group=""`) {
				t.Errorf("got {%s}, want TLS 1.3 and a group", series)
			}
			if strings.Contains(upstream.URL, p.dnsproxy.QUIC.String()) && !strings.Contains(series, `group="X25519MLKEM768"`) {
				t.Errorf("got {%s}, want the hybrid group", series)
			}
			upstream.Settings = []string{`groups = ["secp256r1"]`}
			proxy = startProxy(t, "", upstream)
			answered(t, proxy)
			for labels := range proxy.Metrics(t).Values("sdp_upstream_tls_info") {
				if !strings.Contains(labels, `group="CurveP256"`) {
					t.Errorf("got {%s}, want P-256 alone", labels)
				}
			}
		})
	}
}

// What weakens the protection is loud: in --check, in the log at the start, and again at each reload.
func TestWeakProtectionIsLoud(t *testing.T) {
	p := startPeers(t)
	upstream := upstreamKinds[2].config(p)
	upstream.CAFile, upstream.Settings = "", []string{"insecure_tls = true"}
	file := filepath.Join(t.TempDir(), "keys.log")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{upstream}, Settings: []string{fmt.Sprintf("tls.key_log_file = %q", file)},
	}, nil)
	answered(t, proxy)
	warnings := []string{"without verifying its certificate", "the secrets of ALL TLS connections"}
	count := func(words string, times int) func() bool {
		return func() bool { return len(proxy.LogLines("WARN", words)) == times }
	}
	for _, words := range warnings {
		if !count(words, 1)() {
			t.Errorf("the log warns %d times of %q at the start", len(proxy.LogLines("WARN", words)), words)
		}
	}
	proxy.Signal(syscall.SIGHUP)
	for _, words := range warnings {
		if !rig.Holds(stateLineTimeout, count(words, 2)) {
			t.Errorf("a reload does not warn of %q again", words)
		}
	}
	code, output, _ := rig.Check(t, proxyBinary, proxy.Config.Text())
	for _, words := range warnings {
		if code != 0 || !strings.Contains(output, "warning: ") || !strings.Contains(output, words) {
			t.Errorf("--check: code %d, output without %q:\n%s", code, words, output)
		}
	}
	if got := proxy.Metrics(t).Sum(t, "sdp_upstream_insecure"); got != 1 {
		t.Errorf("sdp_upstream_insecure is %v", got)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("key log: %v, %v", info, err)
	}
}
