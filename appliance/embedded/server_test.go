package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

func startServer(t *testing.T) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func overTLS(t *testing.T, s *Server, query *dns.Msg) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: "tcp-tls", Timeout: 10 * time.Second, TLSConfig: &tls.Config{RootCAs: s.Roots(), ServerName: Name, NextProtos: []string{"dot"}}}
	reply, _, err := client.ExchangeContext(testContext(t), query, s.DoT().String())
	if err != nil {
		t.Fatalf("DoT: %v", err)
	}
	return reply
}

func dialDoQ(t *testing.T, s *Server) *quic.Conn {
	t.Helper()
	conn, err := quic.DialAddr(testContext(t), s.DoQ().String(), &tls.Config{RootCAs: s.Roots(), ServerName: Name, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatalf("DoQ: %v", err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(doqNoError, "") })
	return conn
}

// sendStream writes bytes to a stream of their own and returns all that comes back.
func sendStream(t *testing.T, conn *quic.Conn, frame []byte) ([]byte, error) {
	t.Helper()
	stream, err := conn.OpenStreamSync(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(frame); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	return io.ReadAll(stream)
}

func overQUIC(t *testing.T, s *Server, query *dns.Msg) *dns.Msg {
	t.Helper()
	query = query.Copy()
	query.Id = 0
	message, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := sendStream(t, dialDoQ(t, s), append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	if err != nil {
		t.Fatalf("DoQ: %v", err)
	}
	if len(frame) < 2 || int(binary.BigEndian.Uint16(frame)) != len(frame)-2 {
		t.Fatalf("DoQ: %d bytes are not one framed answer", len(frame))
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(frame[2:]); err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestAnswers(t *testing.T) {
	s := startServer(t)
	tests := []struct {
		name  string
		qtype uint16
		rcode int
		want  string // records of the answer section without TTL, or the SOA's owner
	}{
		{"www.demo.example.", dns.TypeA, dns.RcodeSuccess, "www.demo.example. A 192.0.2.80"},
		{"wWw.demo.Example.", dns.TypeAAAA, dns.RcodeSuccess, "wWw.demo.Example. AAAA 2001:db8::80"},
		{"chain.demo.example.", dns.TypeA, dns.RcodeSuccess, "chain.demo.example. CNAME alias.demo.example.; alias.demo.example. CNAME www.demo.example.; www.demo.example. A 192.0.2.80"},
		{"chain.demo.example.", dns.TypeCNAME, dns.RcodeSuccess, "chain.demo.example. CNAME alias.demo.example."},
		{"chain.demo.example.", dns.TypeMX, dns.RcodeSuccess, "chain.demo.example. CNAME alias.demo.example.; alias.demo.example. CNAME www.demo.example.; SOA of demo.example."},
		{"demo.example.", dns.TypeMX, dns.RcodeSuccess, "demo.example. MX 10 mail.demo.example."},
		{"demo.example.", dns.TypeTXT, dns.RcodeSuccess, `demo.example. TXT "secure-dns-proxy demo zone"`},
		{"short.demo.example.", dns.TypeA, dns.RcodeSuccess, "short.demo.example. A 192.0.2.2"},
		{"a.b.wild.demo.example.", dns.TypeA, dns.RcodeSuccess, "a.b.wild.demo.example. A 192.0.2.42"},
		{"x.wild.demo.example.", dns.TypeAAAA, dns.RcodeSuccess, "SOA of demo.example."},
		{"wild.demo.example.", dns.TypeA, dns.RcodeSuccess, "SOA of demo.example."},
		{"www.demo.example.", dns.TypeMX, dns.RcodeSuccess, "SOA of demo.example."},
		{"nothing.demo.example.", dns.TypeA, dns.RcodeNameError, "SOA of demo.example."},
		{"below.www.demo.example.", dns.TypeA, dns.RcodeNameError, "SOA of demo.example."},
		{"www.elsewhere.example.", dns.TypeA, dns.RcodeNameError, "SOA of ."},
		{".", dns.TypeNS, dns.RcodeNameError, "SOA of ."},
	}
	for _, tt := range tests {
		t.Run(tt.name+dns.TypeToString[tt.qtype], func(t *testing.T) {
			query := new(dns.Msg)
			query.SetQuestion(tt.name, tt.qtype)
			for transport, exchange := range map[string]func(*testing.T, *Server, *dns.Msg) *dns.Msg{"DoT": overTLS, "DoQ": overQUIC} {
				reply := exchange(t, s, query)
				if reply.Rcode != tt.rcode || summary(reply) != tt.want {
					t.Errorf("%s: got %s, %q\nwant %s, %q", transport, dns.RcodeToString[reply.Rcode], summary(reply), dns.RcodeToString[tt.rcode], tt.want)
				}
				if reply.Question[0].Name != tt.name {
					t.Errorf("%s: question %q, want %q", transport, reply.Question[0].Name, tt.name)
				}
			}
		})
	}
}

func summary(m *dns.Msg) string {
	var parts []string
	for _, rr := range m.Answer {
		h := rr.Header()
		parts = append(parts, h.Name+" "+dns.TypeToString[h.Rrtype]+" "+strings.TrimPrefix(rr.String(), h.String()))
	}
	for _, rr := range m.Ns {
		parts = append(parts, dns.TypeToString[rr.Header().Rrtype]+" of "+rr.Header().Name)
	}
	return strings.Join(parts, "; ")
}

func TestBigAnswer(t *testing.T) {
	s := startServer(t)
	query := new(dns.Msg)
	query.SetQuestion("big."+Zone, dns.TypeTXT)
	if got := overQUIC(t, s, query).Len(); got <= 1232 {
		t.Errorf("got %d bytes, want more than 1232", got)
	}
	if got := overTLS(t, s, query).Len(); got <= 1232 {
		t.Errorf("got %d bytes, want more than 1232", got)
	}
}

func TestShortTTL(t *testing.T) {
	z, err := newZone()
	if err != nil {
		t.Fatal(err)
	}
	sets, _ := z.find("short." + Zone)
	if got := sets[dns.TypeA][0].Header().Ttl; got != 2 {
		t.Errorf("got TTL %d, want 2", got)
	}
}

// TestCertificate: without the server's own authority, or with another name, nobody gets in.
func TestCertificate(t *testing.T) {
	s := startServer(t)
	tests := []struct {
		name   string
		config *tls.Config
		want   any
	}{
		{"unknown authority", &tls.Config{ServerName: Name, RootCAs: x509.NewCertPool()}, new(x509.UnknownAuthorityError)},
		{"wrong name", &tls.Config{ServerName: "www.demo.example", RootCAs: s.Roots()}, new(x509.HostnameError)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tls.Dial("tcp", s.DoT().String(), tt.config); !errors.As(err, tt.want) {
				t.Errorf("DoT: got %v, want %T", err, tt.want)
			}
			tt.config.NextProtos = []string{"doq"}
			if _, err := quic.DialAddr(testContext(t), s.DoQ().String(), tt.config, nil); !errors.As(err, tt.want) {
				t.Errorf("DoQ: got %v, want %T", err, tt.want)
			}
		})
	}
}

// TestBrokenStreams: each ends its connection with DOQ_PROTOCOL_ERROR (RFC 9250 §4.3.3).
func TestBrokenStreams(t *testing.T) {
	s := startServer(t)
	query := new(dns.Msg)
	query.SetQuestion("www."+Zone, dns.TypeA)
	query.Id = 7
	withID, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		frame []byte
	}{
		{"message id not 0", append(binary.BigEndian.AppendUint16(nil, uint16(len(withID))), withID...)},
		{"nothing", nil},
		{"half a length", []byte{0}},
		{"length without message", []byte{0, 12}},
		{"bytes behind the message", append([]byte{0, 1}, withID...)},
		{"not a message", []byte{0, 3, 1, 2, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sendStream(t, dialDoQ(t, s), tt.frame)
			var code *quic.ApplicationError
			if !errors.As(err, &code) || code.ErrorCode != doqProtocolError {
				t.Errorf("got %v, want application error %#x", err, doqProtocolError)
			}
		})
	}
}

// TestPipelining: many queries on one connection, sent before the first answer is read.
func TestPipelining(t *testing.T) {
	s := startServer(t)
	raw, err := tls.Dial("tcp", s.DoT().String(), &tls.Config{RootCAs: s.Roots(), ServerName: Name})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn := &dns.Conn{Conn: raw}
	const queries = 300 // more than the 128 at which miekg/dns would close by default
	for id := range queries {
		query := new(dns.Msg)
		query.SetQuestion("www."+Zone, dns.TypeA)
		query.Id = uint16(id)
		if err := conn.WriteMsg(query); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint16]bool{}
	for range queries {
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatalf("after %d answers: %v", len(seen), err)
		}
		seen[reply.Id] = true
	}
	if len(seen) != queries {
		t.Errorf("got answers to %d queries, want %d", len(seen), queries)
	}
}

// TestCloseCutsConnections: Close returns although clients hold connections open, and they learn of it.
func TestCloseCutsConnections(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	quicConn := dialDoQ(t, s)
	tlsConn, err := tls.Dial("tcp", s.DoT().String(), &tls.Config{RootCAs: s.Roots(), ServerName: Name})
	if err != nil {
		t.Fatal(err)
	}
	defer tlsConn.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tlsConn.Read(make([]byte, 1)); err == nil {
		t.Error("DoT: connection still open")
	}
	select {
	case <-quicConn.Context().Done():
	case <-testContext(t).Done():
		t.Error("DoQ: connection still open")
	}
}
