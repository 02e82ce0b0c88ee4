package transport_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// The sessions of two QUIC dials are the same session in two copies, for quic-go writes to them; and not one of TLS over TCP.
func TestQUICSessions(t *testing.T) {
	if transport.QUICSessions(nil) != nil {
		t.Error("a view of no cache is not nil: crypto/tls would use it")
	}
	authority := lanetest.NewAuthority(t)
	client := authority.Client("dns.example")
	cache := client.ClientSessionCache
	s := transport.QUICSessions(cache)
	client.ClientSessionCache = s
	if _, ok := s.Get("dns.example"); ok {
		t.Fatal("an empty cache gave a session")
	}
	near, far := net.Pipe()
	server := tls.Server(far, authority.Server("dns.example", time.Hour))
	go server.Write([]byte("x")) // the ticket comes before it
	conn := tls.Client(near, client)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	near.Close()

	var tickets [2][]byte
	var states [2]*tls.SessionState
	for i := range states {
		session, ok := s.Get("dns.example")
		if !ok {
			t.Fatal("no session after a handshake")
		}
		var err error
		if tickets[i], states[i], err = session.ResumptionState(); err != nil {
			t.Fatal(err)
		}
	}
	if states[0] == states[1] || !bytes.Equal(tickets[0], tickets[1]) || len(tickets[0]) == 0 {
		t.Errorf("one state for both: %v; tickets %x and %x", states[0] == states[1], tickets[0], tickets[1])
	}
	if _, ok := cache.Get("dns.example"); ok {
		t.Error("a session of QUIC is offered to connections over TCP")
	}
	s.Put("dns.example", nil)
	if _, ok := s.Get("dns.example"); ok {
		t.Error("a session that was removed is still there")
	}
}
