package ddr

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// reply is an answer with the given records, in the answer section but for an SOA.
func reply(t testing.TB, lines ...string) *dns.Msg {
	t.Helper()
	msg := new(dns.Msg).SetQuestion(Name, dns.TypeSVCB)
	msg.Response = true
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, soa := rr.(*dns.SOA); soa {
			msg.Ns = append(msg.Ns, rr)
			continue
		}
		msg.Answer = append(msg.Answer, rr)
	}
	return msg
}

func TestDesignations(t *testing.T) {
	const name = "_dns.resolver.arpa. 300 IN SVCB "
	for _, test := range []struct {
		name    string
		records []string
		want    []string
		ttl     time.Duration
		skipped string
	}{
		{"RFC 9462 §4.1, the example", []string{
			`_dns.resolver.arpa. 7200 IN SVCB 1 example.net. alpn="h2" dohpath="/dns-query{?dns}" port="443"`,
		}, []string{"https://example.net:443/dns-query{?dns} at []"}, time.Hour, ""},
		{"hints, and the ports that go without saying", []string{name + `1 dns.example. alpn="dot,doq" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`}, []string{
			"tls://dns.example:853 at [192.0.2.1 2001:db8::1]", "quic://dns.example:853 at [192.0.2.1 2001:db8::1]",
		}, 300 * time.Second, ""},
		{"by priority, not by what we like", []string{name + `2 a.example. alpn="dot"`, name + `1 b.example. alpn="doq" port="8853"`}, []string{
			"quic://b.example:8853 at []", "tls://a.example:853 at []",
		}, 300 * time.Second, ""},
		{"HTTP/2 before HTTP/3", []string{name + `1 dns.example. alpn="h3,h2" dohpath="/q{?dns}"`}, []string{
			"https://dns.example:443/q{?dns} at []", "h3://dns.example:443/q{?dns} at []",
		}, 300 * time.Second, ""},
		{"the lowest TTL", []string{name + `1 a.example. alpn="dot"`, `_dns.resolver.arpa. 60 IN SVCB 2 b.example. alpn="dot"`}, []string{
			"tls://a.example:853 at []", "tls://b.example:853 at []",
		}, time.Minute, ""},
		{"letter case", []string{`_DNS.Resolver.ARPA. 300 IN SVCB 1 DNS.Example. alpn="dot"`}, []string{"tls://dns.example:853 at []"}, 300 * time.Second, ""},
		{"RFC 9461 §5: no DoH without a path", []string{name + `1 dns.example. alpn="h2"`}, nil, 300 * time.Second, "no path for h2"},
		{"a path without the variable", []string{name + `1 dns.example. alpn="h2,dot" dohpath="/q"`}, []string{"tls://dns.example:853 at []"}, 300 * time.Second, "no path"},
		{"RFC 9460 §8: a mandatory parameter that we do not know", []string{name + `1 dns.example. alpn="dot" mandatory="key7777" key7777="x"`}, nil, 300 * time.Second, "key7777"},
		{"one that we know", []string{name + `1 dns.example. alpn="dot" mandatory="alpn,port" port="99"`}, []string{"tls://dns.example:99 at []"}, 300 * time.Second, ""},
		{"nothing that we speak", []string{name + `1 dns.example. alpn="smtp"`}, nil, 300 * time.Second, "smtp"},
		{"no ALPN", []string{name + `1 dns.example. port="853"`}, nil, 300 * time.Second, "speaks"},
		{"an alias", []string{name + `0 dns.example.`}, nil, 300 * time.Second, "alias"},
		{"no name", []string{name + `1 . alpn="dot"`}, nil, 300 * time.Second, "name of a resolver"},
		{"its own name", []string{name + `1 _dns.resolver.arpa. alpn="dot"`}, nil, 300 * time.Second, "name of a resolver"},
		{"records of another name", []string{`other.example. 300 IN SVCB 1 dns.example. alpn="dot"`}, nil, absentRetry, ""},
		{"none", nil, nil, absentRetry, ""},
		{"none, for so long", []string{"resolver.arpa. 900 IN SOA a. b. 1 2 3 4 120"}, nil, 2 * time.Minute, ""},
	} {
		list, ttl, skipped := Designations(reply(t, test.records...))
		var got []string
		for _, d := range list {
			got = append(got, d.String())
		}
		if strings.Join(got, "; ") != strings.Join(test.want, "; ") || ttl != test.ttl {
			t.Errorf("%s: got %q for %v, want %q for %v", test.name, got, ttl, test.want, test.ttl)
		}
		if (skipped != nil) != (test.skipped != "") || skipped != nil && !strings.Contains(skipped.Error(), test.skipped) {
			t.Errorf("%s: skipped because %v, want %q", test.name, skipped, test.skipped)
		}
	}
	var many []string
	for range 2 * designationsMax {
		many = append(many, name+`1 dns.example. alpn="dot,doq" ipv4hint="192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,192.0.2.6,192.0.2.7,192.0.2.8,192.0.2.9"`)
	}
	if list, _, _ := Designations(reply(t, many...)); len(list) != designationsMax || len(list[0].Addrs) != addressesMax {
		t.Errorf("got %d designations, want %d", len(list), designationsMax)
	}
}

// FuzzDesignations: whatever a resolver sends, what comes out can be dialed.
func FuzzDesignations(f *testing.F) {
	for _, lines := range [][]string{
		{`_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn="dot,doq,h2,h3" dohpath="/q{?dns}" port="8853" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`},
		{`_dns.resolver.arpa. 300 IN SVCB 0 dns.example.`, `_dns.resolver.arpa. 1 IN SVCB 1 . mandatory="alpn" alpn="dot"`},
		{"resolver.arpa. 900 IN SOA a. b. 1 2 3 4 120"},
	} {
		packed, err := reply(f, lines...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		msg := new(dns.Msg)
		if msg.Unpack(message) != nil {
			return
		}
		list, ttl, _ := Designations(msg)
		if ttl < 0 || ttl > ttlMax || len(list) > designationsMax {
			t.Errorf("%d designations for %v", len(list), ttl)
		}
		for _, d := range list {
			http := d.Scheme == "https" || d.Scheme == "h3"
			if d.Target == "" || d.Port == 0 || http != strings.HasPrefix(d.Path, "/") || len(d.Addrs) > addressesMax {
				t.Errorf("got %+v", d)
			}
			for _, a := range d.Addrs {
				if !a.IsValid() || a.Is4In6() {
					t.Errorf("address %v", a)
				}
			}
		}
	})
}
