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

// TestAddresses is the table of RFC 6052 §2.4, both ways.
func TestAddresses(t *testing.T) {
	v4 := netip.MustParseAddr("192.0.2.33").As4()
	for prefix, want := range map[string]string{
		"2001:db8::/32":             "2001:db8:c000:221::",
		"2001:db8:100::/40":         "2001:db8:1c0:2:21::",
		"2001:db8:122::/48":         "2001:db8:122:c000:2:2100::",
		"2001:db8:122:300::/56":     "2001:db8:122:3c0:0:221::",
		"2001:db8:122:344::/64":     "2001:db8:122:344:c0:2:2100::",
		"2001:db8:122:344::/96":     "2001:db8:122:344::192.0.2.33",
		"64:ff9b::/96":              "64:ff9b::192.0.2.33",
		"2001:db8:122:344:0:1::/96": "2001:db8:122:344:0:1:c000:221",
	} {
		d, err := NewDNS64(netip.MustParsePrefix(prefix), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := d.Embed(v4)
		if netip.AddrFrom16(got) != netip.MustParseAddr(want) {
			t.Errorf("%s: got %v, want %s", prefix, netip.AddrFrom16(got), want)
		}
		if back, ok := d.Extract(got); !ok || back != v4 {
			t.Errorf("%s: back: %v, %v", prefix, back, ok)
		}
		got[0]++
		if _, ok := d.Extract(got); ok {
			t.Errorf("%s: an address of another prefix", prefix)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for _, prefix := range []string{"192.0.2.0/24", "64:ff9b::/95", "2001:db8::/33", "2001:db8:0:0:100::/96", "::ffff:0:0/96"} {
		if d, err := NewDNS64(netip.MustParsePrefix(prefix), nil); err == nil {
			t.Errorf("%s: got %v", prefix, d)
		}
	}
}

func TestReverse(t *testing.T) {
	d, _ := NewDNS64(wellKnown, nil)
	name := func(addr string) []byte {
		text, err := dns.ReverseAddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		return pack(t, text)
	}
	v4, ok := d.Reverse(name("64:ff9b::192.0.2.255"))
	if got := AppendReverse(nil, v4); !ok || string(got) != string(name("192.0.2.255")) {
		t.Errorf("got %q, %v", got, ok)
	}
	good := name("64:ff9b::192.0.2.255")
	for i := range good { // the well-known prefix takes 24 digits, the address is in the other eight
		other := slices.Clone(good)
		other[i]++
		if _, ok := d.Reverse(other); ok && (i%2 == 0 || i > 16) {
			t.Errorf("byte %d may be anything", i)
		}
	}
	if _, ok := d.Reverse(good[1:]); ok {
		t.Error("too short a name")
	}
}

func pack(t testing.TB, name string) []byte {
	t.Helper()
	buf := make([]byte, wire.NameBytesMax+1)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// parse makes an answer of a message, with the key of its question.
func parse(msg []byte) (a wire.Answer, key []byte, ok bool) {
	q := slices.Clone(msg)
	if len(q) < wire.HeaderBytes {
		return a, nil, false
	}
	binary.BigEndian.PutUint16(q[2:], wire.FlagRD)
	clear(q[6:12])
	var view wire.Query
	if wire.ParseQuery(q, &view) != wire.FaultNone {
		return a, nil, false
	}
	key = view.Key(new([wire.KeyBytesMax]byte))
	return a, key, wire.ParseResponse(msg, key, &a, new(wire.ResponseScratch)) == wire.FaultNone
}

// response is a message in wire form.
func response(t testing.TB, qtype uint16, records ...string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("www.example.", qtype)
	m.Response, m.Compress = true, true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// reply is what a client gets to see of a, the answer to the question of key.
func reply(t testing.TB, a *wire.Answer, key []byte) *dns.Msg {
	t.Helper()
	client := wire.Client{Question: wire.KeyQuestion(key), Limit: wire.MessageBytesMax, HasOPT: true}
	buf := make([]byte, wire.MessageBytesMax)
	m := new(dns.Msg)
	if err := m.Unpack(buf[:wire.WriteReply(buf, &client, a, 0, 1232)]); err != nil {
		t.Fatalf("a reply that nobody can read: %v", err)
	}
	return m
}

func TestAllocatesNothing(t *testing.T) {
	d, _ := NewDNS64(wellKnown, []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/96")})
	r, _ := NewRebinding(true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	a, key, ok := parse(response(t, dns.TypeA, "www.example. 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1"))
	if !ok {
		t.Fatal("not parsed")
	}
	b := new(wire.Assembly)
	if n := testing.AllocsPerRun(100, func() {
		d.Of(&a)
		r.Guard(&a, wire.KeyName(key))
		if _, ok := d.Synthesise(b, &a, wire.KeyQuestion(key), 0, 600); !ok {
			panic("nothing made")
		}
		Alias(b, &a, wire.KeyQuestion(key), wire.KeyName(key))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSynthesise: whatever the answer for A records is, what is made of it can be read, and has the address of each A record that may be translated, in
// their order.
func FuzzSynthesise(f *testing.F) {
	f.Add(response(f, dns.TypeA, "www.example. 60 IN A 192.0.2.1"), byte(96))
	f.Add(response(f, dns.TypeA, "www.example. 60 IN CNAME a.example.", "a.example. 30 IN A 192.0.2.1", "a.example. 30 IN A 10.0.0.1"), byte(64))
	f.Add(response(f, dns.TypeA, "example. 60 IN DNAME example.net.", "www.example. 60 IN CNAME www.example.net.", "www.example.net. 1 IN A 192.0.2.1"), byte(32))
	f.Add(response(f, dns.TypeA, strings.Split(strings.Repeat("www.example. 60 IN A 192.0.2.1\n", 20)+"www.example. 60 IN A 0.0.0.0", "\n")...), byte(0))
	b := new(wire.Assembly)
	f.Fuzz(func(t *testing.T, msg []byte, bits byte) {
		prefix := netip.PrefixFrom(netip.MustParseAddr("2001:db8::"), int(bits))
		d, err := NewDNS64(prefix, nil)
		if err != nil {
			d, _ = NewDNS64(wellKnown, nil)
		}
		original := new(dns.Msg)
		oracleErr := original.Unpack(slices.Clone(msg))
		a, key, ok := parse(msg)
		if !ok {
			return
		}
		d.Of(&a)
		made, ok := d.Synthesise(b, &a, wire.KeyQuestion(key), 0, 600)
		if !ok {
			return
		}
		m := reply(t, made, key)
		var want, got []string
		for _, rr := range original.Answer {
			if v4, ok := rr.(*dns.A); ok && oracleErr == nil && len(v4.A) == 4 && !(d.wellKnown && contains(notGlobal, netip.AddrFrom4([4]byte(v4.A)))) {
				want = append(want, netip.AddrFrom16(d.Embed([4]byte(v4.A))).String())
			}
		}
		for _, rr := range m.Answer {
			if v6, ok := rr.(*dns.AAAA); ok {
				got = append(got, netip.AddrFrom16([16]byte(v6.AAAA.To16())).String())
			}
			if rr.Header().Ttl > 600 {
				t.Errorf("%v is told for too long", rr)
			}
		}
		if oracleErr == nil && !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
