package appliance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/lanetest"
)

// streamServer answers over TCP or TLS and remembers what it was asked, by connection.
type streamServer struct {
	url string

	mu    sync.Mutex
	conns [][][]byte // messages of each connection
	ended int        // connections that the other side has closed
}

// startStream starts a server; over TLS unless scheme is tcp. announce, if not negative, is the idle timeout that it tells (RFC 7828).
func startStream(t *testing.T, scheme string, announce int) *streamServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &streamServer{url: fmt.Sprintf("%s://%s", scheme, listener.Addr())}
	if scheme == "tls" {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { s.serve(conn, announce) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	return s
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve answers the queries of one connection until the other side closes it.
func (s *streamServer) serve(conn net.Conn, announce int) {
	defer conn.Close()
	s.mu.Lock()
	at := len(s.conns)
	s.conns = append(s.conns, nil)
	s.mu.Unlock()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			break
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, msg); err != nil {
			break
		}
		s.mu.Lock()
		s.conns[at] = append(s.conns[at], msg)
		s.mu.Unlock()
		query := new(dns.Msg)
		if query.Unpack(msg) != nil {
			break
		}
		reply := new(dns.Msg).SetReply(query)
		reply.SetEdns0(1232, false)
		if announce >= 0 {
			value := binary.BigEndian.AppendUint16(nil, uint16(announce)) // miekg/dns leaves a timeout of 0 out
			reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: value}}
		}
		packed, err := reply.Pack()
		if err != nil {
			break
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
			break
		}
	}
	s.mu.Lock()
	s.ended++
	s.mu.Unlock()
}

// seen returns the messages of each connection so far.
func (s *streamServer) seen() [][][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][][]byte(nil), s.conns...)
}

// askStream runs the proxy with settings for one upstream, in the table for all and in the upstream's own, asks n questions one after the
// other and returns the proxy and the server.
func askStream(t *testing.T, scheme string, announce int, all, own string, n int) (*product, *streamServer) {
	t.Helper()
	s := startStream(t, scheme, announce)
	trust := ""
	if scheme == "tls" {
		trust = "insecure_tls = true\n"
	}
	p := start(t, fmt.Sprintf("%s\n[connection]\n%s\n[[upstream]]\nurl = %q\n%s%s\n", head, all, s.url, trust, own))
	for i := range n {
		if reply := p.ask(t, "udp", fmt.Sprintf("q%d.example.", i)); reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("question %d: %v", i, reply)
		}
	}
	return p, s
}

// TestPaddingKey: the key of all, overruled by that of the upstream, is what queries are padded to.
func TestPaddingKey(t *testing.T) {
	for _, test := range []struct {
		all, own string
		block    int
	}{{"", "", 128}, {"padding = 64", "", 64}, {"padding = 64", "padding = 100", 100}, {"", "padding = 0", 0}, {"padding = 0", "", 0}} {
		_, s := askStream(t, "tls", -1, test.all, test.own, 2)
		for _, msg := range s.seen()[0] {
			if test.block == 0 && len(msg) >= 64 || test.block != 0 && len(msg)%test.block != 0 {
				t.Errorf("%q, %q: a query of %d bytes", test.all, test.own, len(msg))
			}
		}
	}
}

// TestOwnIdleTimeout: an upstream's own idle time, not that of all, closes its connection.
func TestOwnIdleTimeout(t *testing.T) {
	s := startStream(t, "tcp", -1)
	p := start(t, fmt.Sprintf("%sprewarm_pools = false\ntimeouts.idle = \"1h\"\n[[upstream]]\nurl = %q\nidle_timeout = \"1s\"\n", head, s.url))
	if reply := p.ask(t, "udp", "q.example."); reply.Rcode != dns.RcodeSuccess {
		t.Fatal(reply)
	}
	await(t, "the idle connection is closed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ended > 0
	})
}

// TestOwnDialTimeout: an upstream's own dial time, not that of all, ends a handshake that does not come forward.
func TestOwnDialTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	start(t, fmt.Sprintf("%stimeouts.dial = \"30s\"\n[[upstream]]\nurl = \"tls://%s\"\ndial_timeout = \"100ms\"\n", head, listener.Addr()))
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(eventually)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // to its end: the other side closed it
		t.Errorf("the connection is still open: %v", err)
	}
}

// TestMaxQueriesKey: connections take as many queries as the key allows, and as many as come without it.
func TestMaxQueriesKey(t *testing.T) {
	for _, test := range []struct {
		all, own string
		limited  bool
	}{{"", "", false}, {"max_queries = 4", "", true}, {"", "max_queries = 4", true}, {"max_queries = 4", "max_queries = 0", false}} {
		for _, scheme := range []string{"tcp", "tls"} {
			p, s := askStream(t, scheme, -1, test.all, test.own, 12)
			if !test.limited {
				if got := len(s.seen()); got != 1 {
					t.Errorf("%s, %q, %q: %d connections for 12 queries, want 1", scheme, test.all, test.own, got)
				}
				continue
			}
			// The old connection goes on while the new one is opened: ask until there were some.
			for i := 12; len(s.seen()) < 4 && i < 5000; i++ {
				p.ask(t, "udp", fmt.Sprintf("q%d.example.", i))
			}
			if got := s.seen(); len(got) < 4 || len(got[0]) < 3 {
				t.Errorf("%s, %q, %q: %d connections, want 4", scheme, test.all, test.own, len(got))
			}
			series := fmt.Sprintf(`sdp_upstream_retired_connections_total{upstream=%q,reason="queries"}`, s.url)
			await(t, "the figure", func() bool { n, err := strconv.Atoi(p.metric(t, series)); return err == nil && n >= 2 })
		}
	}
}

// TestMaxAgeKey: a connection in use is replaced at its age.
func TestMaxAgeKey(t *testing.T) {
	for _, test := range []struct {
		all, own string
		limited  bool
	}{{"", "", false}, {`max_age = "20ms"`, "", true}, {"", `max_age = "20ms"`, true}, {`max_age = "20ms"`, `max_age = "0s"`, false}} {
		p, s := askStream(t, "tls", -1, test.all, test.own, 1)
		for i, end := 1, time.Now().Add(200*time.Millisecond); time.Now().Before(end) || test.limited && len(s.seen()) < 3 && i < 100_000; i++ {
			p.ask(t, "udp", fmt.Sprintf("q%d.example.", i))
		}
		if got := len(s.seen()); test.limited != (got > 1) {
			t.Errorf("%q, %q: %d connections, limited %t", test.all, test.own, got, test.limited)
		}
	}
}

// TestEDNSKeepaliveKey: with it the first query asks, without it none does; what the server tells holds either way.
func TestEDNSKeepaliveKey(t *testing.T) {
	for _, test := range []struct {
		all, own string
		asks     bool
	}{{"", "", true}, {"edns_keepalive = false", "", false}, {"edns_keepalive = false", "edns_keepalive = true", true}} {
		_, s := askStream(t, "tls", 1, test.all, test.own, 1)
		first := new(dns.Msg)
		if err := first.Unpack(s.seen()[0][0]); err != nil {
			t.Fatal(err)
		}
		asked := slices.ContainsFunc(first.IsEdns0().Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0TCPKEEPALIVE })
		if asked != test.asks || first.Len()%128 != 0 {
			t.Errorf("%q, %q: asked %t, in %d bytes", test.all, test.own, asked, first.Len())
		}
		await(t, "the connection ends though timeouts.idle is 90s", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.ended == 1
		})
	}
}

// TestFastOpenKey: reconnections send their data with the SYN only if the key says so.
func TestFastOpenKey(t *testing.T) {
	if !lanetest.Isolated(t) {
		return
	}
	lanetest.Sysctl(t, "ipv4.tcp_fastopen", "1027") // client, server, and every listener without asking
	for _, test := range []struct {
		all, own string
		fast     bool
	}{{"", "", false}, {"fast_open = true", "", true}, {"", "fast_open = true", true}, {"fast_open = true", "fast_open = false", false}} {
		for _, scheme := range []string{"tcp", "tls"} {
			p, s := askStream(t, scheme, 0, test.all, test.own, 8) // each answer ends its connection
			series := fmt.Sprintf("sdp_upstream_fast_open_total{upstream=%q}", s.url)
			if test.fast {
				await(t, "a fast connection", func() bool { n, err := strconv.Atoi(p.metric(t, series)); return err == nil && n > 0 })
			} else if got := p.metric(t, series); got != "0" {
				t.Errorf("%s, %q, %q: %s fast connections", scheme, test.all, test.own, got)
			}
		}
	}
}
