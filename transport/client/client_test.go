package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// server answers on one loopback port, over the networks that it is given.
type server struct {
	addr  netip.AddrPort
	asked atomic.Int64
}

// serve answers plain DNS over UDP and TCP, or over TLS if cfg is given.
func serve(t *testing.T, ip string, cfg *tls.Config, handler func(w dns.ResponseWriter, query *dns.Msg)) *server {
	t.Helper()
	s := new(server)
	counted := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		s.asked.Add(1)
		handler(w, query)
	})
	listener, packets := ports(t, ip)
	s.addr = listener.Addr().(*net.TCPAddr).AddrPort()
	if cfg != nil {
		listener = tls.NewListener(listener, cfg)
	}
	for _, d := range []*dns.Server{{Listener: listener, Handler: counted}, {PacketConn: packets, Handler: counted}} {
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		go func() { _ = d.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = d.Shutdown() })
	}
	return s
}

// ports finds a port that is free for TCP and for UDP.
func ports(t *testing.T, ip string) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 50 {
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := net.ListenPacket("udp", listener.Addr().String()); err == nil {
			return listener, packets
		}
		listener.Close()
	}
	t.Fatal("no port that is free for both")
	return nil, nil
}

func honest(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(lanetest.Reply(query)) }

func silent(dns.ResponseWriter, *dns.Msg) {}

// open returns a client that is closed at the end of the test, with nothing left behind.
func open(t *testing.T, e *transport.Endpoint) *Client {
	t.Helper()
	c, err := New(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, c) })
	return c
}

func shut(t *testing.T, c *Client) {
	ctx, cancel := context.WithTimeout(context.Background(), lanetest.Patience)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// ask sends one question and checks that the answer is to it.
func ask(t *testing.T, c *Client, name string, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	query := lanetest.Query(name)
	msg, err := c.Exchange(ctx, query)
	if err != nil {
		return err
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(msg); err != nil {
		t.Fatal(err)
	}
	if [2]byte(msg) != [2]byte(query) || reply.Question[0].Name != name || len(reply.Answer) != 1 {
		t.Errorf("%s: got %s", name, reply)
	}
	return nil
}

// TestExchange asks over each kind of transport, more often than there are slots.
func TestExchange(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	plain, secure := serve(t, "127.0.0.1", nil, honest), serve(t, "127.0.0.1", authority.Server(lanetest.ServerName, time.Hour), honest)
	for scheme, addr := range map[transport.Scheme]netip.AddrPort{transport.UDP: plain.addr, transport.TCP: plain.addr, transport.TLS: secure.addr} {
		e := lanetest.Endpoint(scheme, addr, nil, nil)
		if scheme.Encrypted() {
			e.TLS = authority.Client(lanetest.ServerName)
		}
		c := open(t, e)
		var group sync.WaitGroup
		for i := range outstandingMax {
			group.Go(func() {
				for range 3 {
					if err := ask(t, c, lanetest.Name(i), lanetest.Patience); err != nil {
						t.Errorf("%v: %v", scheme, err)
					}
				}
			})
		}
		group.Wait()
	}
}

// TestPadded: over encrypted hops queries are as long as the endpoint wants them.
func TestPadded(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	sizes := make(chan int, 1)
	measure := func(w dns.ResponseWriter, query *dns.Msg) {
		sizes <- query.Len() // as it came: nothing in it is compressed
		honest(w, query)
	}
	plain, secure := serve(t, "127.0.0.1", nil, measure), serve(t, "127.0.0.1", authority.Server(lanetest.ServerName, time.Hour), measure)
	bare := len(edns(t, "example."))
	for _, test := range []struct {
		scheme      transport.Scheme
		block, want int
	}{{transport.UDP, 0, bare}, {transport.TCP, 0, bare}, {transport.TLS, 0, bare}, {transport.TLS, 128, 128}, {transport.TLS, 300, 300}} {
		e := lanetest.Endpoint(test.scheme, plain.addr, nil, nil)
		if test.scheme.Encrypted() {
			e = lanetest.Endpoint(test.scheme, secure.addr, authority.Client(lanetest.ServerName), nil)
		}
		e.PaddingBlock = test.block
		c := open(t, e)
		ctx, cancel := context.WithTimeout(t.Context(), lanetest.Patience)
		_, err := c.Exchange(ctx, edns(t, "example."))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if got := <-sizes; got != test.want {
			t.Errorf("%v, block %d: a query of %d bytes, want %d", test.scheme, test.block, got, test.want)
		}
	}
}

// edns is a query with an OPT.
func edns(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// TestTruncated: RFC 7766 §5.
func TestTruncated(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, "127.0.0.1", nil, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := lanetest.Reply(query)
		if w.RemoteAddr().Network() == "udp" {
			reply.Answer, reply.Truncated = nil, true
		}
		_ = w.WriteMsg(reply)
	})
	c := open(t, lanetest.Endpoint(transport.UDP, s.addr, nil, nil))
	if err := ask(t, c, "big.example.", lanetest.Patience); err != nil || s.asked.Load() != 2 {
		t.Errorf("got %v after %d questions", err, s.asked.Load())
	}
}

// TestForged: a wrong id and a wrong question are not the answer, and a lost datagram is sent again.
func TestForged(t *testing.T) {
	lanetest.NoLeaks(t)
	var asked atomic.Int64
	s := serve(t, "127.0.0.1", nil, func(w dns.ResponseWriter, query *dns.Msg) {
		if asked.Add(1) == 1 {
			return // lost
		}
		wrong := lanetest.Reply(query)
		wrong.Id++
		_ = w.WriteMsg(wrong)
		other := lanetest.Reply(new(dns.Msg).SetQuestion("other.example.", dns.TypeA))
		other.Id = query.Id
		_ = w.WriteMsg(other)
		honest(w, query)
	})
	c := open(t, lanetest.Endpoint(transport.UDP, s.addr, nil, nil))
	if err := ask(t, c, "www.example.", 4*time.Second); err != nil || asked.Load() != 2 {
		t.Errorf("got %v after %d datagrams", err, asked.Load())
	}
}

// TestAddressesInTurn: an address that is silent over UDP is left behind, and not asked the next time.
func TestAddressesInTurn(t *testing.T) {
	lanetest.NoLeaks(t)
	dead := serve(t, "127.0.0.1", nil, silent)
	good := serve(t, "127.0.0.2", nil, honest)
	e := lanetest.Endpoint(transport.UDP, dead.addr, nil, nil)
	e.Addresses.Store([]netip.AddrPort{dead.addr, good.addr})
	c := open(t, e)
	if err := ask(t, c, "www.example.", time.Second); err != nil {
		t.Error(err)
	}
	before := dead.asked.Load()
	if known, healthy := e.AddressHealth(); before == 0 || known != 2 || healthy != 1 {
		t.Errorf("the dead address was asked %d times; %d known, %d healthy", before, known, healthy)
	}
	for range 3 {
		if err := ask(t, c, "www.example.", lanetest.Patience); err != nil || dead.asked.Load() != before {
			t.Errorf("got %v; the dead address was asked %d times more", err, dead.asked.Load()-before)
		}
	}
}

// TestReasons: an error says what is wrong, and a question that nobody answers ends with its context.
func TestReasons(t *testing.T) {
	lanetest.NoLeaks(t)
	authority, stranger := lanetest.NewAuthority(t), lanetest.NewAuthority(t)
	untrusted := serve(t, "127.0.0.1", stranger.Server(lanetest.ServerName, time.Hour), honest)
	e := lanetest.Endpoint(transport.TLS, untrusted.addr, authority.Client(lanetest.ServerName), nil)
	if err := ask(t, open(t, e), "www.example.", lanetest.Patience); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("untrusted: got %v", err)
	}
	closed, packets := ports(t, "127.0.0.1")
	closed.Close()
	packets.Close()
	nowhere := closed.Addr().(*net.TCPAddr).AddrPort()
	for _, scheme := range []transport.Scheme{transport.UDP, transport.TCP} {
		if err := ask(t, open(t, lanetest.Endpoint(scheme, nowhere, nil, nil)), "www.example.", lanetest.Patience); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("nobody there over %v: got %v", scheme, err)
		}
	}
	mute := serve(t, "127.0.0.1", nil, silent)
	for _, scheme := range []transport.Scheme{transport.UDP, transport.TCP} {
		c := open(t, lanetest.Endpoint(scheme, mute.addr, nil, nil))
		for range 2 * outstandingMax { // a slot is free again once its question is given up
			if err := ask(t, c, "www.example.", 20*time.Millisecond); err == nil {
				t.Errorf("%v: an answer from a silent server", scheme)
			}
		}
	}
	c := open(t, lanetest.Endpoint(transport.UDP, mute.addr, nil, nil))
	if _, err := c.Exchange(t.Context(), lanetest.Query("www.example.")); err == nil {
		t.Error("a question without a deadline")
	}
	if _, err := c.Exchange(t.Context(), []byte("no message")); err == nil {
		t.Error("no question at all")
	}
}

// TestClose: questions under way fail, later ones too, and a second Close does nothing.
func TestClose(t *testing.T) {
	lanetest.NoLeaks(t)
	mute := serve(t, "127.0.0.1", nil, silent)
	c := open(t, lanetest.Endpoint(transport.TCP, mute.addr, nil, nil))
	failed := make(chan error)
	go func() { failed <- ask(t, c, "www.example.", lanetest.Patience) }()
	lanetest.Eventually(t, "the question is with the server", func() bool { return mute.asked.Load() == 1 })
	shut(t, c)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "shutdown") {
		t.Errorf("under way: got %v", err)
	}
	if err := ask(t, c, "www.example.", time.Second); err == nil {
		t.Error("a question to a closed client")
	}
	shut(t, c)
}

// TestHealthIsTheCallers: nothing is reported to the endpoint's own reporter.
func TestHealthIsTheCallers(t *testing.T) {
	lanetest.NoLeaks(t)
	closed, packets := ports(t, "127.0.0.1")
	closed.Close()
	packets.Close()
	var book lanetest.Health
	e := lanetest.Endpoint(transport.TCP, closed.Addr().(*net.TCPAddr).AddrPort(), nil, &book)
	if err := ask(t, open(t, e), "www.example.", lanetest.Patience); err == nil {
		t.Error("an answer from nobody")
	}
	if len(book.Downs()) != 0 || book.Ups() != 0 || e.Prewarm {
		t.Errorf("reported %v", book.Downs())
	}
}
