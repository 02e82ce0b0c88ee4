package wire_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

// TestWriteMessage: what is written is read to the same answer, by us and by miekg/dns.
func TestWriteMessage(t *testing.T) {
	m := new(dns.Msg)
	m.SetQuestion("www.Example.com.", dns.TypeA)
	m.Response, m.Authoritative, m.AuthenticatedData = true, true, true
	for _, text := range []string{"www.example.com. 60 IN CNAME a.example.com.", "a.example.com. 30 IN A 192.0.2.1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.Compress = true
	m.SetEdns0(1232, true)
	edns := m.IsEdns0()
	edns.Option = append(edns.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, SourceScope: 20, Address: []byte{192, 0, 2, 0}},
		&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer})
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	key := wire.AppendSubnet([]byte("\x03www\x07example\x03com\x00\x00\x01\x00\x01\x04"),
		&wire.Subnet{Family: wire.FamilyIPv4, Bits: 24, Addr: [16]byte{192, 0, 2}})
	var scratch, again wire.ResponseScratch
	var a, b wire.Answer
	if fault := wire.ParseResponse(packed, key, &a, &scratch); fault != wire.FaultNone {
		t.Fatal(fault)
	}
	buf := make([]byte, 512)
	n := wire.WriteMessage(buf, key, &a)
	got := new(dns.Msg)
	if err := got.Unpack(buf[:n]); err != nil {
		t.Fatal(err)
	}
	if len(got.Answer) != 2 || !got.Authoritative || !got.AuthenticatedData || len(got.IsEdns0().Option) != 2 {
		t.Errorf("wrote\n%v", got)
	}
	if fault := wire.ParseResponse(buf[:n], key, &b, &again); fault != wire.FaultNone || b.Told.Scope != 20 || !reflect.DeepEqual(plain(a), plain(b)) {
		t.Errorf("fault %v, read %+v, want %+v", fault, b, a)
	}
	a.Told.Options = nil
	if n := wire.WriteMessage(buf, key, &a); n == 0 || got.Unpack(buf[:n]) != nil || got.IsEdns0() != nil {
		t.Errorf("without options: wrote\n%v", got)
	}
	if n := wire.WriteMessage(buf[:n/2], key, &a); n != 0 {
		t.Errorf("wrote %d bytes where there was no room", n)
	}
	a.Told.Scope = wire.ScopeUnknown
	if n := wire.WriteMessage(buf, key, &a); n != 0 {
		t.Errorf("wrote %d bytes of an answer that nobody knows the scope of", n)
	}
	if n := wire.WriteMessage(buf, wire.AppendOptions(wire.KeyPlain(key), []byte("\xfd\xe9\x00\x00")), &a); n != 0 {
		t.Errorf("wrote %d bytes of an answer to options of a client", n)
	}
	a.RCode = wire.RCodeBadVers
	if n := wire.WriteMessage(buf, key, &a); n != 0 {
		t.Errorf("wrote %d bytes of an rcode that needs an OPT", n)
	}
}

func TestWithoutPool(t *testing.T) {
	key := []byte("\x01a\x00\x00\x01\x00\x01\x05")
	tagged := bytes.Clone(key)
	wire.SetKeyPool(tagged, 9)
	if bytes.Equal(tagged, key) {
		t.Fatal("no tag was set")
	}
	if got := wire.WithoutPool([]byte("before"), tagged); !bytes.Equal(got, append([]byte("before"), key...)) {
		t.Errorf("got %x, want %x", got, key)
	}
	variant := "\x01\xFFvariant"
	if got := wire.WithoutPool(nil, append(tagged, variant...)); !bytes.Equal(got, append(key, variant...)) {
		t.Errorf("with a variant: got %x, want %x with it", got, key)
	}
}

// plain is an answer without what was told beside it.
func plain(a wire.Answer) wire.Answer {
	a.Told = nil
	return a
}
