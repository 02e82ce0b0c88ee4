package synth

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

// FuzzGuard: an answer offends exactly if the oracle finds an address from inside in it, in an address record or in a hint.
func FuzzGuard(f *testing.F) {
	f.Add(response(f, dns.TypeA, "www.example. 60 IN A 192.0.2.1", "www.example. 60 IN A 10.0.0.1"))
	f.Add(response(f, dns.TypeAAAA, "www.example. 60 IN AAAA ::ffff:10.0.0.1", "www.example. 60 IN AAAA 64:ff9b::a00:1"))
	f.Add(response(f, dns.TypeHTTPS, "www.example. 60 IN HTTPS 1 a.example. alpn=h2 ipv4hint=192.0.2.1,10.0.0.1 ipv6hint=2001:db8::1"))
	f.Add(response(f, dns.TypeSVCB, "www.example. 60 IN SVCB 1 . ipv6hint=2001:db8::1,64:ff9b::a00:1"))
	inside := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	guard, _ := NewRebinding(false, inside, nil)
	within := func(ip []byte) bool {
		addr, _ := netip.AddrFromSlice(ip)
		if wellKnown.Contains(addr) {
			addr = netip.AddrFrom4([4]byte(ip[12:]))
		}
		return contains(inside, addr.Unmap())
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		original := new(dns.Msg)
		oracleErr := original.Unpack(slices.Clone(msg))
		a, key, ok := parse(msg)
		if !ok {
			return
		}
		want := false
		for _, rr := range original.Answer {
			var params []dns.SVCBKeyValue
			switch rr := rr.(type) {
			case *dns.A:
				want = want || within(rr.A)
			case *dns.AAAA:
				want = want || within(rr.AAAA)
			case *dns.HTTPS:
				params = rr.Value
			case *dns.SVCB:
				params = rr.Value
			}
			for _, p := range params {
				switch p := p.(type) {
				case *dns.SVCBIPv4Hint:
					for _, ip := range p.Hint {
						want = want || within(ip.To4())
					}
				case *dns.SVCBIPv6Hint:
					for _, ip := range p.Hint {
						want = want || within(ip.To16())
					}
				}
			}
		}
		if got := guard.Guard(&a, wire.KeyName(key)); oracleErr == nil && got != want {
			t.Errorf("offends: %v, want %v in\n%v", got, want, original)
		}
		if oracleErr == nil {
			reply(t, &a, key)
		}
	})
}

// FuzzAlias: whatever is said of an IPv4 address's name, the answer that is made of it for the IPv6 address's can be read, and says the same.
func FuzzAlias(f *testing.F) {
	f.Add(response(f, dns.TypePTR, "www.example. 60 IN PTR host.example."))
	f.Add(response(f, dns.TypePTR, "www.example. 60 IN CNAME a.www.example.", "a.www.example. 30 IN PTR host.example."))
	f.Add(response(f, dns.TypePTR))
	b, name := new(wire.Assembly), pack(f, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.")
	own := append(slices.Clone(name), 0, 12, 0, 1, wire.KeyRD)
	f.Fuzz(func(t *testing.T, msg []byte) {
		original := new(dns.Msg)
		oracleErr := original.Unpack(slices.Clone(msg))
		a, key, ok := parse(msg)
		if !ok || wire.KeyClass(key) != wire.ClassINET {
			return
		}
		made, ok := Alias(b, &a, wire.KeyQuestion(key), name)
		if !ok {
			return // too long without compression
		}
		client := wire.Client{Question: wire.KeyQuestion(own), Limit: wire.MessageBytesMax}
		buf, m := make([]byte, wire.MessageBytesMax), new(dns.Msg)
		if err := m.Unpack(buf[:wire.WriteReply(buf, &client, made, 0, 1232)]); err != nil {
			if oracleErr == nil {
				t.Fatalf("a reply that nobody can read: %v", err)
			}
			return
		}
		alias, ok := m.Answer[0].(*dns.CNAME)
		if !ok || alias.Hdr.Name != m.Question[0].Name {
			t.Fatalf("no alias in\n%v", m)
		}
		if oracleErr == nil && len(m.Answer) != len(original.Answer)+1 {
			t.Errorf("%d records of %d", len(m.Answer)-1, len(original.Answer))
		}
	})
}

// FuzzReverse: a name stands for an IPv4 address exactly if the oracle makes that name for the address behind the prefix.
func FuzzReverse(f *testing.F) {
	for _, addr := range []string{"64:ff9b::c000:221", "64:ff9b::", "2001:db8::1", "64:ff9b:1::1"} {
		text, _ := dns.ReverseAddr(addr)
		f.Add(pack(f, text))
	}
	f.Add([]byte("\x01a\x00"))
	d, _ := NewDNS64(wellKnown, nil)
	f.Fuzz(func(t *testing.T, name []byte) {
		v4, ok := d.Reverse(name)
		if !ok {
			return
		}
		var octets [4]byte
		binary.BigEndian.PutUint32(octets[:], v4)
		want, err := dns.ReverseAddr(netip.AddrFrom16(d.Embed(octets)).String())
		if err != nil || string(pack(t, want)) != string(name) {
			t.Errorf("%q stands for %v, whose name is %s", name, octets, want)
		}
		if want, _ := dns.ReverseAddr(netip.AddrFrom4(octets).String()); string(AppendReverse(nil, v4)) != strings.ToLower(string(pack(t, want))) {
			t.Errorf("the name of %v is %q", octets, AppendReverse(nil, v4))
		}
	})
}
