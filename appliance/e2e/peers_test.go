package e2e

import (
	"slices"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// peers are the servers behind the proxy, with one good certificate.
type peers struct {
	authority   *rig.Authority
	certificate rig.Certificate
	unbound     *rig.Unbound
	dnsproxy    *rig.DNSProxy
}

func startPeers(t *testing.T) peers {
	t.Helper()
	authority := rig.NewAuthority(t)
	certificate := authority.Issue(rig.Leaf{})
	unbound := rig.NewUnbound(t, certificate)
	return peers{authority, certificate, unbound, rig.NewDNSProxy(t, dnsproxyBinary, certificate, unbound.Do53)}
}

// The peers themselves, with no proxy between: a failure here is not the product's.
func TestPeers(t *testing.T) {
	p := startPeers(t)
	coredns := rig.NewCoreDNS(t, corednsBinary, p.certificate, p.unbound.Do53)
	want := rig.Dig(t, p.unbound.Do53, "www.zone.example", "A")
	if want.Status != "NOERROR" || len(want.Records) != 1 || want.TTL() != 3600 {
		t.Fatalf("unbound itself: got %s %v, want one record with TTL 3600", want.Status, want.Records)
	}
	trust := []string{"+tls-ca=" + p.authority.CAFile, "+tls-hostname=" + rig.ServerName}
	for _, c := range []struct {
		name      string
		got       rig.Answer
		wantFlags string
	}{
		{"unbound tcp", rig.Dig(t, p.unbound.Do53, "+tcp", "www.zone.example"), "aa"},
		{"unbound dot", rig.Kdig(t, p.unbound.TLS, append(trust, "+tls", "www.zone.example")...), "aa"},
		{"unbound doh", rig.Kdig(t, p.unbound.HTTPS, append(trust, "+https=/dns-query", "www.zone.example")...), "aa"},
		{"dnsproxy doq", rig.Kdig(t, p.dnsproxy.QUIC, append(trust, "+quic", "www.zone.example")...), "qr"},
		{"dnsproxy doh", rig.Kdig(t, p.dnsproxy.HTTPS, append(trust, "+https=/dns-query", "www.zone.example")...), "qr"},
		{"unbound doh by GET", rig.Kdig(t, p.unbound.HTTPS, append(trust, "+https=/dns-query", "+https-get", "www.zone.example")...), "aa"},
		{"dnsproxy doh by GET", rig.Kdig(t, p.dnsproxy.HTTPS, append(trust, "+https=/dns-query", "+https-get", "www.zone.example")...), "qr"},
		{"coredns dot", rig.Kdig(t, coredns.TLS, append(trust, "+tls", "www.zone.example")...), "qr"},
		{"coredns doq", rig.Kdig(t, coredns.QUIC, append(trust, "+quic", "www.zone.example")...), "qr"},
		{"coredns doh", rig.Kdig(t, coredns.HTTPS, append(trust, "+https=/dns-query", "www.zone.example")...), "qr"},
		{"coredns doh by GET", rig.Kdig(t, coredns.HTTPS, append(trust, "+https=/dns-query", "+https-get", "www.zone.example")...), "qr"},
	} {
		if !slices.Equal(c.got.Data(), want.Data()) || !c.got.HasFlag(c.wantFlags) {
			t.Errorf("%s: got %v flags %v, want %v with %s", c.name, c.got.Data(), c.got.Flags, want.Data(), c.wantFlags)
		}
	}
	if big := rig.Dig(t, p.unbound.Do53, "+tcp", "big.zone.example", "TXT"); len(big.Records) != 12 {
		t.Errorf("big.zone.example: got %d records, want 12", len(big.Records))
	}
	if got := rig.Dig(t, p.unbound.Do53, "any7.bulk.example"); got.Status != "NOERROR" || len(got.Records) != 1 {
		t.Errorf("bulk name: got %s %v, want one record", got.Status, got.Records)
	}
	if got := rig.Dig(t, p.unbound.Do53, "nowhere.zone.example"); got.Status != "NXDOMAIN" || len(got.Authority) != 1 {
		t.Errorf("unknown name: got %s %v, want NXDOMAIN with a SOA", got.Status, got.Authority)
	}
	if got := rig.Dig(t, p.unbound.Do53, "elsewhere.example.net"); got.Status != "REFUSED" {
		t.Errorf("name outside: got %s, want REFUSED", got.Status)
	}
	result := rig.Load{Server: p.unbound.Do53, NamesFile: rig.BulkNames(t, 1000), Rounds: 1}.Run(t)
	if result.Sent != 1000 || result.Lost != 0 || result.RCodes["NOERROR"] != 1000 {
		t.Errorf("dnsperf: got %+v, want 1000 NOERROR", result)
	}
	if all, tls, https := p.unbound.Queries(); all < 1000 || tls < 1 || https < 1 {
		t.Errorf("unbound's own counters: got all %d, tls %d, https %d", all, tls, https)
	}
	p.unbound.Kill()
	p.unbound.Start()
	if got := rig.Dig(t, p.unbound.Do53, "www.zone.example"); got.Status != "NOERROR" {
		t.Errorf("after a restart: got %s", got.Status)
	}
}
