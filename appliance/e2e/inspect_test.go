package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// TestInspectionModule: the worked example decides on queries of the built binary; hits are not shown to it; a module that is wrong is named with file, line and
// reason by --check and at a reload, and what is in force stays.
func TestInspectionModule(t *testing.T) {
	module := filepath.Join(rig.SharedDir(t), "module.wasm")
	put := func(from string) {
		t.Helper()
		code, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(module, code, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("../wasm/example/tunnels.wasm")
	proxy := actorProxy(t, rig.NewActor(t), `inspect.kind = "wasm"`, fmt.Sprintf("inspect.module = %q", module), `inspect.budget = "100ms"`)
	asked := 0
	refused := func(what string) {
		t.Helper()
		rig.Eventually(t, 30*time.Second, what, func() bool { // on a busy machine a verdict may be late
			asked++
			long := fmt.Sprintf("n%d.%sexample.", asked, strings.Repeat("abcdefghijklmnopqrstuvwxyz012345.", 3))
			return strings.HasPrefix(outcome(t, proxy.Addr, "udp", long, dns.TypeTXT), "REFUSED")
		})
	}
	refused("a long TXT question is refused")
	for range 5 {
		if got := outcome(t, proxy.Addr, "udp", "host1.example.", dns.TypeA); !strings.HasPrefix(got, "NOERROR") {
			t.Errorf("a short one: %s", got)
		}
	}
	rig.Eventually(t, settleTimeout, "all questions were shown or decided before, and none of the hits", func() bool { // figures are published a moment later
		m := proxy.Metrics(t)
		return m.Sum(t, "sdp_inspection_asked_total")+m.Sum(t, "sdp_inspection_recalled_total") == float64(asked+1)
	})
	put("../wasm/testdata/imports.wasm")
	want := "imports the function wasi_snapshot_preview1.fd_write"
	if code, output, file := rig.Check(t, proxyBinary, proxy.Config.Text()); code != rig.CheckUsage || !strings.Contains(output, want) ||
		!strings.Contains(output, file+":") || !strings.Contains(output, "inspect.module") || !strings.Contains(output, module) {
		t.Errorf("--check of a bad module: %d\n%s", code, output)
	}
	proxy.Signal(syscall.SIGHUP)
	rig.Eventually(t, 10*time.Second, "the reload is refused", func() bool { return len(proxy.LogLines("reload refused")) == 1 })
	if len(proxy.LogLines(want)) != 1 {
		t.Errorf("the log does not say %q:\n%s", want, proxy.Log())
	}
	refused("the running module stays")
}

// tunnelServer is a real NSD with names that carry 480 bytes each, and others.
func tunnelServer(t *testing.T) *rig.NSD {
	t.Helper()
	half := strings.Repeat("0123456789abcdef", 15)
	return rig.NewNSD(t, map[string]string{"tunnel.example": "$ORIGIN tunnel.example.\n$TTL 300\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 192.0.2.53\n" +
		"spf TXT \"v=spf1 -all\"\n*.data TXT \"" + half + "\" \"" + half + "\"\nwww A 192.0.2.80\nfar CNAME deep\ndeep A 198.51.100.7\ndeep AAAA 2001:db8::7\n"}, rig.TSIG{}, netip.AddrPort{})
}

// askFrom is the RCODE that a client at an address of its own gets.
func askFrom(t *testing.T, source string, proxy *rig.Proxy, name string, qtype uint16) string {
	t.Helper()
	c := dns.Client{Timeout: 10 * time.Second, Dialer: &net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))}}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, qtype), proxy.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %d", dns.RcodeToString[r.Rcode], len(r.Answer))
}

// TestInspectionOfAnswers: the worked example sees what a real server answers, and refuses the client who tunnels from then on without being asked about each
// packet, until an operator has that forgotten; other clients and other types are left alone.
func TestInspectionOfAnswers(t *testing.T) {
	code, err := os.ReadFile("../wasm/example/tunnels.wasm")
	if err != nil {
		t.Fatal(err)
	}
	dir := rig.SharedDir(t)
	module, socket := filepath.Join(dir, "module.wasm"), filepath.Join(dir, "control.sock")
	if err := os.WriteFile(module, code, 0o644); err != nil {
		t.Fatal(err)
	}
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + tunnelServer(t).Addr.String()}},
		Settings: []string{
			`inspect.kind = "wasm"`, fmt.Sprintf("inspect.module = %q", module), `inspect.points = ["miss", "response"]`,
			`inspect.budget = "100ms"`, `inspect.response_budget = "100ms"`, fmt.Sprintf("control.socket = %q", socket),
		},
	}, nil)
	const one, other = "127.0.0.1", "127.0.0.2"
	asked := 0
	next := func() string {
		asked++
		return fmt.Sprintf("n%d.data.tunnel.example.", asked)
	}
	tunnel := func(what string) { // on a busy machine a verdict may be late
		t.Helper()
		rig.Eventually(t, 30*time.Second, what, func() bool { return askFrom(t, one, proxy, next(), dns.TypeTXT) == "REFUSED 0" })
	}
	if got := askFrom(t, one, proxy, "spf.tunnel.example.", dns.TypeTXT); got != "NOERROR 1" {
		t.Errorf("a short TXT record: %s", got)
	}
	tunnel("much data is refused")
	queries := func(series string) float64 { return proxy.Metrics(t).Sum(t, series) }
	var before float64
	rig.Eventually(t, settleTimeout, "the verdict is kept", func() bool { // figures are published a moment later
		before = queries("sdp_inspection_recalled_total")
		return queries("sdp_inspection_verdicts_kept_total") == 1
	})
	for range 5 {
		if got := askFrom(t, one, proxy, next(), dns.TypeTXT); got != "REFUSED 0" {
			t.Errorf("more of the tunnel: %s", got)
		}
	}
	rig.Eventually(t, settleTimeout, "it was not asked again", func() bool { return queries("sdp_inspection_recalled_total") == before+5 })
	for range 3 {
		if got := askFrom(t, other, proxy, "spf.tunnel.example.", dns.TypeTXT); got != "NOERROR 1" {
			t.Errorf("another client: %s", got)
		}
		if got := askFrom(t, one, proxy, "www.tunnel.example.", dns.TypeA); got != "NOERROR 1" {
			t.Errorf("another type: %s", got)
		}
	}
	if out, err := sdpctl(t, socket, "inspect"); err != nil || !strings.Contains(out, module) || !strings.Contains(out, "response") {
		t.Errorf("sdpctl inspect: %v\n%s", err, out)
	}
	if out, err := sdpctl(t, socket, "inspect", "forget"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tunnel("the next one is refused again")
	rig.Eventually(t, settleTimeout, "it was asked anew", func() bool { return queries("sdp_inspection_verdicts_kept_total") == 2 })
}

// TestInspectionInGo: the example that embeds the proxy hides names with an address in its network, and what CNAMEs lead there, for every type.
func TestInspectionInGo(t *testing.T) {
	binary := filepath.Join(rig.SharedDir(t), "inspected-dns-proxy")
	if said, err := exec.Command("go", "build", "-o", binary, "../cmd/inspected-dns-proxy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	addr := rig.FreeAddr(t)
	file := rig.WriteFile(t, "proxy.toml", fmt.Sprintf("listen = [%q]\nupstream = \"udp://%s\"\n[inspect]\nkind = \"go\"\nname = \"networks\"\npoints = [\"response\"]\nresponse_budget = \"100ms\"\n",
		addr, tunnelServer(t).Addr))
	command := exec.Command(binary, file)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("the example ends with %v", err)
		}
	})
	is := func(name string, qtype uint16, want string) {
		t.Helper()
		rig.Eventually(t, 30*time.Second, name, func() bool { return strings.HasPrefix(outcome(t, addr, "udp", name, qtype), want) })
	}
	is("www.tunnel.example.", dns.TypeA, "NOERROR")
	is("far.tunnel.example.", dns.TypeA, "NXDOMAIN")
	is("deep.tunnel.example.", dns.TypeA, "NXDOMAIN")
	is("deep.tunnel.example.", dns.TypeAAAA, "NXDOMAIN")
}
