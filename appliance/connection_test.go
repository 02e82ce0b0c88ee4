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
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
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
