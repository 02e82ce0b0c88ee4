package worker

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// TestQueriesOverEncryptedHopsArePadded: to the block of the upstream, over every scheme that has one, and nothing of it reaches the client.
func TestQueriesOverEncryptedHopsArePadded(t *testing.T) {
	for _, test := range []struct {
		scheme transport.Scheme
		block  int
		bytes  int // of the query; 50 without padding
	}{
		{transport.TCP, 0, 50},
		{transport.TLS, 0, 50},
		{transport.TLS, 128, 128},
		{transport.TLS, 50, 100},
		{transport.TLS, 512, 512},
		{transport.QUIC, 128, 128},
		{transport.HTTPS, 128, 128},
	} {
		b := newBench(t, 1, func(_ *Config, s *Snapshot) {
			s.Upstreams[0].Endpoint.Scheme, s.Upstreams[0].Endpoint.PaddingBlock = test.scheme, test.block
		})
		if sent := b.ask(1, query(7, "some-host.example.net.", dns.TypeA)); len(sent) != 0 {
			t.Fatalf("%v: %d datagrams sent", test.scheme, len(sent))
		}
		lane := b.w.active.pools[0].members[0].lane
		asked, ok := lane.Next()
		if !ok || len(asked.Query) != test.bytes {
			t.Fatalf("%v, block %d: a query of %d bytes, want %d", test.scheme, test.block, len(asked.Query), test.bytes)
		}
		padding := 0
		for _, o := range unpack(t, asked.Query).IsEdns0().Option {
			padding += len(o.(*dns.EDNS0_PADDING).Padding) + 4
		}
		if padding != test.bytes-50 {
			t.Errorf("%v, block %d: %d bytes of padding", test.scheme, test.block, padding)
		}
		lane.Answer(asked.Slot, asked.Gen, reply(t, asked.Query, func(m *dns.Msg) {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 300)}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: 9}}
		}, "some-host.example.net. 300 IN A 192.0.2.1"))
		lane.Publish()
		edns := query(8, "some-host.example.net.", dns.TypeA)
		edns.SetEdns0(1232, false)
		got := unpack(t, one(t, b.turn()).data)
		hit := unpack(t, one(t, b.ask(2, edns)).data)
		if len(got.Answer) != 1 || got.IsEdns0() != nil || len(hit.Answer) != 1 || hit.IsEdns0() == nil || len(hit.IsEdns0().Option) != 0 {
			t.Errorf("%v, block %d: replies %v and %v", test.scheme, test.block, got, hit)
		}
		b.now += time.Second
	}
}

// TestNoHopOptionsOverUDP: a keepalive is forbidden there (RFC 7828 §3.2.1), and padding hides nothing.
func TestNoHopOptionsOverUDP(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.Upstreams[0].Endpoint.AskKeepalive = true })
	for n := range 3 {
		sent := unpack(t, one(t, b.ask(n, query(7, string(rune('a'+n))+".example.", dns.TypeA))).data)
		if len(sent.IsEdns0().Option) != 0 {
			t.Errorf("query over UDP with options: %v", sent)
		}
	}
}
