package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// A validator behind the proxy, BIND's delv, gets all that it needs from a real NSD: positive answers, wildcards, both kinds of denial, and what is cut is fetched
// over TCP. In front of a resolver that validates, dig sees AD where it says that it understands it, and why something did not validate.
func TestSignaturesArriveWhole(t *testing.T) {
	zones, names, anchors := map[string]string{}, []string{"nsec.example", "nsec3.example", "bogus.example"}, []string(nil)
	files := map[string]string{}
	for _, name := range names {
		zone := rig.SignZone(t, name, differentialZone(name), name == "nsec3.example")
		zones[name] = zone.Text
		if name == "bogus.example" {
			zone = rig.SignZone(t, name, differentialZone(name), false) // another key
		}
		anchors = append(anchors, zone.Anchor)
		ds := strings.Fields(zone.Anchor)
		files[name] = filepath.Join(t.TempDir(), name)
		text := fmt.Sprintf("trust-anchors { %q static-ds %s %s %s %q; };\n", name, ds[3], ds[4], ds[5], strings.Join(ds[6:], ""))
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nsd := rig.NewNSD(t, zones, rig.TSIG{}, netip.AddrPort{})
	before := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + nsd.Addr.String()}}}, nil)
	for _, q := range []struct{ name, zone, qtype, holds string }{
		{"www", "nsec.example", "A", "; fully validated"},
		{"x.wild", "nsec.example", "A", "; fully validated"},
		{"c1", "nsec3.example", "AAAA", "; fully validated"},
		{"x.cwild", "nsec3.example", "A", "; fully validated"},
		{"huge", "nsec3.example", "TXT", "; fully validated"},
		{"nowhere", "nsec.example", "A", "; negative response, fully validated"},
		{"nowhere", "nsec3.example", "A", "; negative response, fully validated"},
		{"www", "nsec3.example", "MX", "; negative response, fully validated"},
		{"www", "bogus.example", "A", "no valid"},
	} {
		for range 2 { // the second time from the cache
			out, _ := exec.Command("delv", "@"+before.Addr.Addr().String(), "-p", strconv.Itoa(int(before.Addr.Port())), "-a", files[q.zone], "+root="+q.zone,
				q.name+"."+q.zone, q.qtype).CombinedOutput()
			if !strings.Contains(string(out), q.holds) {
				t.Errorf("delv %s.%s %s: want %q, got\n%s", q.name, q.zone, q.qtype, q.holds, out)
			}
		}
	}

	unbound := rig.NewResolver(t, nsd.Addr, names, anchors...)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + unbound.Addr.String()}}}, nil)
	for _, q := range []struct {
		arguments string
		status    string
		ad        bool
		holds     string
	}{
		{"+noad +noedns www.nsec.example", "NOERROR", false, ""},
		{"+adflag www.nsec.example", "NOERROR", true, ""},
		{"+noad +dnssec www.nsec.example", "NOERROR", true, "RRSIG"},
		{"+adflag nowhere.nsec3.example", "NXDOMAIN", true, ""},
		{"+adflag www.bogus.example", "SERVFAIL", false, "EDE"},
		{"+adflag +cd www.bogus.example", "NOERROR", false, "192.0.2.80"},
		{"+adflag +noedns +ignore big.nsec.example TXT", "NOERROR", true, "tc"},
		{"+adflag +dnssec +tcp big.nsec.example TXT", "NOERROR", true, "RRSIG"},
		{"+header-only +noedns", "FORMERR", false, ""},
	} {
		for range 2 {
			got := rig.Dig(t, proxy.Addr, strings.Fields(q.arguments)...)
			if got.Status != q.status || got.HasFlag("ad") != q.ad || !strings.Contains(got.Text, q.holds) {
				t.Errorf("dig %s: want %s, AD %v, %q, got\n%s", q.arguments, q.status, q.ad, q.holds, got.Text)
			}
		}
	}
}
