package rpz

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// The zone of appendix A of draft-vixie-dnsop-dns-rpz-00, and the examples of its sections 3 to 5.
const draftZone = `
; QNAME policy records (no trailing dots)
nxdomain.domain.com     CNAME   .               ; NXDOMAIN policy
*.nxdomain.domain.com   CNAME   .
nodata.domain.com       CNAME   *.              ; NODATA policy
*.nodata.domain.com     CNAME   *.
bad.domain.com          A       10.0.0.1        ; redirect to a walled garden
                        AAAA    2001:db8::1
bzone.domain.com        CNAME   garden.example.com.
ok.domain.com           CNAME   rpz-passthru.   ; do not rewrite
*.bzone.domain.com      CNAME   *.garden.example.com.
drop.example.com        CNAME   rpz-drop.
*.drop.example.com      CNAME   rpz-drop.
tcp.example.com         CNAME   rpz-tcp-only.

; IP policy records that rewrite all responses with addresses in 192.0.2.0/24, except 192.0.2.1
24.0.2.0.192.rpz-ip     CNAME   .
32.1.2.0.192.rpz-ip     CNAME   rpz-passthru.
48.zz.1.db8.2001.rpz-ip CNAME   *.

; NSDNAME and NSIP
ns.domain.com.rpz-nsdname   CNAME   .
48.zz.2.2001.rpz-nsip       CNAME   .

; some clients
24.0.100.51.198.rpz-client-ip CNAME rpz-drop.
32.53.100.51.198.rpz-client-ip CNAME rpz-passthru.
`

func TestDraft(t *testing.T) {
	s := setOf(t, zoneOf(t, draftZone))
	const address = "host.example.net. 300 A 203.0.113.7"
	for _, c := range []struct {
		what string
		q    asked
		want string
	}{
		{"3.1 NXDOMAIN", asked{name: "nxdomain.domain.com"}, "nxdomain by qname of 0: NXDOMAIN | soa rpz.test. 60"},
		{"3.1 NXDOMAIN, below", asked{name: "a.b.NXDOMAIN.domain.com"}, "nxdomain by qname of 0: NXDOMAIN | soa rpz.test. 60"},
		{"3.2 NODATA", asked{name: "nodata.domain.com"}, "nodata by qname of 0: NOERROR | soa rpz.test. 60"},
		{"3.3 PASSTHRU", asked{name: "ok.domain.com"}, "passthru by qname of 0"},
		{"3.4 DROP", asked{name: "drop.example.com"}, "drop by qname of 0"},
		{"3.5 TCP-Only", asked{name: "tcp.example.com"}, "tcp_only by qname of 0: NOERROR TC"},
		{"3.6 local data", asked{name: "bad.domain.com"}, "local_data by qname of 0: NOERROR | bad.domain.com. 120 A 10.0.0.1"},
		{"3.6 local data of another type", asked{name: "bad.domain.com", qtype: dns.TypeAAAA}, "local_data by qname of 0: NOERROR | bad.domain.com. 120 AAAA 2001:db8::1"},
		{"3.6 local data without that type", asked{name: "bad.domain.com", qtype: dns.TypeMX}, "local_data by qname of 0: NOERROR | soa rpz.test. 60"},
		{"3.6 local data, ANY", asked{name: "bad.domain.com", qtype: dns.TypeANY}, "local_data by qname of 0: NOERROR | bad.domain.com. 120 A 10.0.0.1 | bad.domain.com. 120 AAAA 2001:db8::1"},
		{"3.6 CNAME", asked{name: "bzone.domain.com"}, "local_data by qname of 0: 120 CNAME garden.example.com."},
		{"3.6 CNAME asked for", asked{name: "bzone.domain.com", qtype: dns.TypeCNAME}, "local_data by qname of 0: NOERROR | bzone.domain.com. 120 CNAME garden.example.com."},
		{"3.6 wildcard CNAME", asked{name: "x.bzone.domain.com"}, "local_data by qname of 0: 120 CNAME x.bzone.domain.com.garden.example.com."},
		{"4.1 a wildcard is for what is below", asked{name: "domain.com"}, "none"},
		{"4.2 client-IP", asked{name: "example.net", client: "198.51.100.9"}, "drop by client_ip of 0"},
		{"5.6 the longer prefix of client-IP, before QNAME", asked{name: "nxdomain.domain.com", client: "198.51.100.53"}, "passthru by client_ip of 0"},
		{"4.3 IP", asked{name: "host.example.net", answer: "host.example.net. 300 A 192.0.2.9"}, "nxdomain by ip of 0: NXDOMAIN | soa rpz.test. 60"},
		{"4.3 IP, the longer prefix", asked{name: "host.example.net", answer: "host.example.net. 300 A 192.0.2.9\nhost.example.net. 300 A 192.0.2.1"}, "passthru by ip of 0"},
		{"4.3 IPv6", asked{name: "host.example.net", qtype: dns.TypeAAAA, answer: "host.example.net. 300 AAAA 2001:db8:1::9"}, "nodata by ip of 0: NOERROR | soa rpz.test. 60"},
		{"4.3 another address", asked{name: "host.example.net", answer: address}, "none"},
		{"4.4 NSDNAME", asked{name: "host.example.net", answer: address + "\n--\nexample.net. 300 NS NS.domain.com."}, "nxdomain by nsdname of 0: NXDOMAIN | soa rpz.test. 60"},
		{"4.5 NSIP", asked{name: "host.example.net", answer: address + "\n--\nexample.net. 300 NS ns.example.net.\n--\nns.example.net. 300 AAAA 2001:2::53"}, "nxdomain by nsip of 0: NXDOMAIN | soa rpz.test. 60"},
		{"4.5 an address of nobody's", asked{name: "host.example.net", answer: address + "\n--\nexample.net. 300 NS ns.example.net.\n--\nother.example.net. 300 AAAA 2001:2::53"}, "none"},
		{"5.1 QNAME in the chain", asked{name: "www.example.net", answer: "www.example.net. 300 CNAME nxdomain.domain.com.\nnxdomain.domain.com. 300 A 203.0.113.1"}, "nxdomain by qname of 0: NXDOMAIN | www.example.net. 300 CNAME nxdomain.domain.com. | soa rpz.test. 60"},
		{"5.1 the earlier name counts", asked{name: "www.example.net", answer: "www.example.net. 300 CNAME ok.domain.com.\nok.domain.com. 300 CNAME nxdomain.domain.com.\nnxdomain.domain.com. 300 A 192.0.2.9"}, "passthru by qname of 0"},
		{"5.1 local data in the chain", asked{name: "www.example.net", answer: "www.example.net. 300 CNAME a.example.net.\na.example.net. 200 CNAME x.bzone.domain.com.\nx.bzone.domain.com. 300 A 203.0.113.1"}, "local_data by qname of 0: 120 CNAME x.bzone.domain.com.garden.example.com."},
		{"5.1 an address at the end of the chain", asked{name: "www.example.net", answer: "www.example.net. 300 CNAME a.example.net.\na.example.net. 200 A 192.0.2.7"}, "nxdomain by ip of 0: NXDOMAIN | www.example.net. 300 CNAME a.example.net. | soa rpz.test. 60"},
		{"5.1 a chain out of order", asked{name: "www.example.net", answer: "a.example.net. 300 CNAME nodata.domain.com.\nwww.example.net. 300 CNAME a.example.net."}, "nodata by qname of 0: NOERROR | www.example.net. 300 CNAME a.example.net. | a.example.net. 300 CNAME nodata.domain.com. | soa rpz.test. 60"},
	} {
		if got := told(t, s, c.q); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

// TestOrder is section 5: zones before triggers, triggers in the draft's order, names and prefixes by length.
func TestOrder(t *testing.T) {
	const address = "a.example. 300 A 192.0.2.1\n--\nexample. 300 NS ns.example.\n--\nns.example. 300 A 192.0.2.53"
	q := asked{name: "a.example", client: "198.51.100.1", answer: address}
	all := []string{"32.1.100.51.198.rpz-client-ip", "a.example", "32.1.2.0.192.rpz-ip", "ns.example.rpz-nsdname", "32.53.2.0.192.rpz-nsip"}
	for first := range all {
		text := ""
		for _, owner := range all[first:] {
			text += owner + " CNAME .\n"
		}
		if got, want := told(t, setOf(t, zoneOf(t, text)), q), "nxdomain by "+Trigger(first).String()+" of 0: NXDOMAIN | soa rpz.test. 60"; got != want {
			t.Errorf("one zone, from %s on: got %s, want %s", Trigger(first), got, want)
		}
		for other := range all { // whatever the zone behind it has
			s := setOf(t, zoneOf(t, all[first]+" CNAME ."), zoneOf(t, all[other]+" CNAME *."))
			if got, want := told(t, s, q), "nxdomain by "+Trigger(first).String()+" of 0: NXDOMAIN | soa rpz.test. 60"; got != want {
				t.Errorf("%s before %s: got %s, want %s", Trigger(first), Trigger(other), got, want)
			}
		}
	}
	s := setOf(t, zoneOf(t, "a.b.example CNAME .\n*.b.example CNAME *.\n*.example CNAME rpz-drop.\n* CNAME rpz-passthru."))
	for name, want := range map[string]string{
		"a.b.example": "nxdomain", "c.b.example": "nodata", "x.a.b.example": "nodata", "b.example": "drop", "example": "passthru", "com": "passthru",
	} {
		if got := told(t, s, asked{name: name}); got[:len(want)] != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestNameOrder: of name servers with triggers as long that counts whose name is the smaller one in the order of DNSSEC (RFC 4034 §6.1), wherever the answer
// names it; a longer trigger counts before.
func TestNameOrder(t *testing.T) {
	order := []string{"example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`}
	for i := range order[1:] { // the RFC's own list
		var a, b Name
		if a.Set(packed(t, order[i])); !b.Set(packed(t, order[i+1])) || !a.before(&b) || b.before(&a) || a.before(&a) {
			t.Errorf("%s is not before %s", order[i], order[i+1])
		}
	}
	s := setOf(t, zoneOf(t, "ns.b.example.rpz-nsdname CNAME .\nns.a.example.rpz-nsdname CNAME *.\nx.ns.c.example.rpz-nsdname CNAME rpz-drop."))
	const a, b, c = "example. 300 NS ns.a.example.\n", "example. 300 NS ns.b.example.\n", "example. 300 NS x.ns.c.example.\n"
	for _, tt := range []struct{ servers, want string }{{a + b, "nodata"}, {b + a, "nodata"}, {b, "nxdomain"}, {b + c + a, "drop"}, {a + c, "drop"}} {
		got := told(t, s, asked{name: "www.example", answer: "www.example. 300 A 203.0.113.7\n--\n" + tt.servers})
		if got[:len(tt.want)] != tt.want {
			t.Errorf("%q: got %s, want %s", tt.servers, got, tt.want)
		}
	}
}

// TestFind: what operators are told of a name or an address, zone by zone.
func TestFind(t *testing.T) {
	s := setOf(t, zoneOf(t, "24.0.2.0.192.rpz-ip CNAME .\n32.1.2.0.192.rpz-client-ip CNAME rpz-drop."), zoneOf(t, "a.example CNAME .\n*.example CNAME *.\n*.example.rpz-nsdname CNAME rpz-passthru."))
	show := func(list []Found) (text string) {
		for _, f := range list {
			owner, _, err := dns.UnpackDomainName(f.Owner, 0)
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintf("%d %s %s %s %v; ", f.Zone, f.Trigger, owner, f.Action, f.Later)
		}
		return text
	}
	for name, want := range map[string]string{
		"a.example":   "1 qname a.example.rpz.test. nxdomain true; 1 nsdname *.example.rpz-nsdname.rpz.test. passthru true; ",
		"x.y.example": "1 qname *.example.rpz.test. nodata true; 1 nsdname *.example.rpz-nsdname.rpz.test. passthru true; ",
		"example":     "", "b.test": "",
	} {
		var n Name
		n.Set(packed(t, name))
		if got := show(s.FindName(&n)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for address, want := range map[string]string{
		"192.0.2.1": "0 client_ip 32.1.2.0.192.rpz-client-ip.rpz.test. drop false; 0 ip 24.0.2.0.192.rpz-ip.rpz.test. nxdomain false; ",
		"192.0.2.9": "0 ip 24.0.2.0.192.rpz-ip.rpz.test. nxdomain false; ", "192.0.3.1": "", "2001:db8::1": "",
	} {
		if got := show(s.FindAddress(netip.MustParseAddr(address))); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

// TestOverrides: what the operator says stands before the zone.
func TestOverrides(t *testing.T) {
	z := zoneOf(t, "a.example A 192.0.2.1\n32.9.2.0.192.rpz-ip CNAME rpz-drop.")
	for o, want := range map[Override]string{
		Given:            "local_data by qname of z: NOERROR | a.example. 120 A 192.0.2.1",
		OverrideNXDomain: "nxdomain by qname of z: NXDOMAIN | soa rpz.test. 60",
		OverrideNoData:   "nodata by qname of z: NOERROR | soa rpz.test. 60",
		OverridePassthru: "passthru by qname of z",
		OverrideDrop:     "drop by qname of z",
		OverrideTCPOnly:  "tcp_only by qname of z: NOERROR TC",
		OverrideCNAME:    "local_data by qname of z: 5 CNAME a.example.garden.test.",
		Disabled:         "none",
	} {
		s, err := NewSet([]Policy{{Name: "z", Zone: z, Override: o, CNAME: packed(t, "*.garden.test.")}})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(t, s, asked{name: "a.example"}); got != want {
			t.Errorf("%s: got %s, want %s", OverrideNames[o], got, want)
		}
	}
	s, err := NewSet([]Policy{{Name: "off", Zone: z, Override: Disabled, BreakDNSSEC: true}, {Name: "on", Zone: z, BreakDNSSEC: true}})
	if err != nil {
		t.Fatal(err)
	}
	var n Name
	n.Set(packed(t, "a.example"))
	if v := s.Query(&n, &Asker{}); v.Disabled != 1 || v.Match.Zone != 1 || v.Match.Action != Local {
		t.Errorf("a disabled zone before another: got %+v", v)
	}
}

// TestDNSSEC: break_dnssec off leaves signed answers alone for clients that want signatures, and only those.
func TestDNSSEC(t *testing.T) {
	s, err := NewSet([]Policy{{Name: "0", Zone: zoneOf(t, "a.example CNAME .\n24.0.2.0.192.rpz-ip CNAME .")}})
	if err != nil {
		t.Fatal(err)
	}
	const signature = "b.example. 300 RRSIG A 13 2 300 20300101000000 20200101000000 1 example. AAAA"
	for _, c := range []struct {
		q    asked
		want string
	}{
		{asked{name: "a.example", answer: "a.example. 300 A 203.0.113.1"}, "nxdomain by qname of 0: NXDOMAIN | soa rpz.test. 60"},
		{asked{name: "a.example", do: true, answer: "a.example. 300 A 203.0.113.1"}, "nxdomain by qname of 0: NXDOMAIN | soa rpz.test. 60"},
		{asked{name: "a.example", do: true, answer: "a.example. 300 A 203.0.113.1\n" + signature}, "none"},
		{asked{name: "b.example", do: true, answer: "b.example. 300 A 192.0.2.1\n" + signature}, "none"},
		{asked{name: "b.example", do: true, answer: "b.example. 300 A 192.0.2.1"}, "nxdomain by ip of 0: NXDOMAIN | soa rpz.test. 60"},
	} {
		if got := told(t, s, c.q); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.q, got, c.want)
		}
	}
}
