package doh

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

func quicCode(code http3.ErrCode) quic.StreamErrorCode { return quic.StreamErrorCode(code) }

// path is a UDP socket that a test can cut. It hides that it is one, or quic-go would go round it.
type path struct {
	net.PacketConn
	cut atomic.Bool
}

func (p *path) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := p.PacketConn.ReadFrom(b)
		if err != nil || !p.cut.Load() {
			return n, from, err
		}
	}
}

func (p *path) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.cut.Load() {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}

// server3 is an HTTP/3 server on loopback, perhaps beside net/http's on the same port.
type server3 struct {
	end     *transport.Endpoint
	health  *lanetest.Health
	path    *path
	http3   *http3.Server
	tcp     *server // nil: none
	notices notices
}

// notices collects what lanes tell.
type notices struct {
	mu   sync.Mutex
	list []string
}

func (n *notices) add(event string, _ error) {
	n.mu.Lock()
	n.list = append(n.list, event)
	n.mu.Unlock()
}

func (n *notices) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.list)
}

// start3 returns an HTTP/3 server and an endpoint that asks it alone.
func start3(t *testing.T, handle http.HandlerFunc) *server3 {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	s := &server3{health: new(lanetest.Health)}
	s.serve3(t, anyPort(t), authority.Server(lanetest.ServerName, time.Hour), handle)
	address := s.path.LocalAddr().(*net.UDPAddr).AddrPort()
	s.end = lanetest.Endpoint(transport.HTTPS, address, authority.Client(lanetest.ServerName), s.health)
	s.end.HTTP3 = transport.HTTP3Only
	return s
}

// startBoth returns an HTTP/2 and an HTTP/3 server on one port and an endpoint that probes.
func startBoth(t *testing.T, handle http.HandlerFunc) *server3 {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	s := &server3{health: new(lanetest.Health)}
	listener, socket := onePort(t)
	s.tcp = serveOn(t, listener, authority.Server(lanetest.ServerName, time.Hour, "h2"), nil, handle)
	s.serve3(t, socket, authority.Server(lanetest.ServerName, time.Hour), handle)
	s.end = lanetest.Endpoint(transport.HTTPS, s.tcp.addr, authority.Client(lanetest.ServerName), s.health)
	s.end.HTTP3, s.end.Notice = transport.HTTP3Probe, s.notices.add
	return s
}

// anyPort returns a UDP socket.
func anyPort(t *testing.T) *net.UDPConn {
	t.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

// onePort returns a TCP and a UDP socket on a port that was free for both.
func onePort(t *testing.T) (net.Listener, *net.UDPConn) {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(listener.Addr().String())))
		if err == nil {
			return listener, socket
		}
		listener.Close()
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil, nil
}

func (s *server3) serve3(t *testing.T, socket *net.UDPConn, cfg *tls.Config, handle http.HandlerFunc) {
	t.Helper()
	s.path = &path{PacketConn: socket}
	s.http3 = &http3.Server{Handler: handle, TLSConfig: http3.ConfigureTLSConfig(cfg)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.http3.Serve(s.path)
	}()
	t.Cleanup(func() {
		s.http3.Close()
		socket.Close()
		<-done
	})
}

// versions counts requests by version of HTTP.
type versions struct{ two, three atomic.Int32 }

func (v *versions) honest(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 3 {
		v.three.Add(1)
	} else {
		v.two.Add(1)
	}
	honest(w, r)
}

// TestRFC9114 asks by both methods over HTTP/3 alone, with the same request as over HTTP/2; a second connection resumes the session.
func TestRFC9114(t *testing.T) {
	for _, get := range []bool{false, true} {
		t.Run(map[bool]string{false: "POST", true: "GET"}[get], func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := start3(t, func(w http.ResponseWriter, r *http.Request) {
				host, _, _ := net.SplitHostPort(r.Host)
				if r.ProtoMajor != 3 || r.URL.Path != "/dns-query" || host != lanetest.ServerName || r.Header.Get("Accept") != mediaType ||
					r.UserAgent() != "" || r.Header.Get("Accept-Encoding") != "" || (r.Method == http.MethodGet) != get {
					t.Errorf("request %s %s %s to %s with header %v", r.Method, r.URL, r.Proto, r.Host, r.Header)
				}
				honest(w, r)
			})
			s.end.Path, s.end.Get = "/dns-query{?dns}", get
			s.end.IdleTimeout = 100 * time.Millisecond
			w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
			for range 2 {
				for i := range 20 {
					if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone || len(r.Msg.Answer) != 1 {
						t.Fatalf("query %d: fault %v, message %v", i, r.Fault, r.Msg)
					}
				}
				if got := w.Lane.Stats(); got.OpenHTTP3 != 1 {
					t.Errorf("stats %+v, want one connection over HTTP/3", got)
				}
				lanetest.Eventually(t, "idle connection closed", func() bool { return w.Lane.Stats().Open == 0 && w.Lane.Stats().OpenHTTP3 == 0 })
			}
			if got := w.Lane.Stats(); got.Resumed != 1 || got.HTTPStatus[2] != 40 || s.health.Ups() == 0 || len(s.health.Downs()) != 0 {
				t.Errorf("stats %+v, down %v; want a resumed session, 40 good responses, never down", got, s.health.Downs())
			}
		})
	}
}

// TestRFC9114Section4_1_1: the stream of a query whose deadline passes is cancelled; the connection stays.
func TestRFC9114Section4_1_1(t *testing.T) {
	lanetest.NoLeaks(t)
	cancelled := make(chan struct{})
	var once sync.Once
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		query, _ := io.ReadAll(r.Body)
		if query[12] == byte(len("silent")) {
			<-r.Context().Done()
			once.Do(func() { close(cancelled) })
			return
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(lanetest.Answer(query))
	})
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	if r := w.Ask("silent.example.", 200*time.Millisecond); r.Fault != transport.FaultTimeout {
		t.Errorf("fault %v, want a timeout", r.Fault)
	}
	select {
	case <-cancelled:
	case <-time.After(lanetest.Patience):
		t.Fatal("the server was not told")
	}
	if r := w.Ask("a.example.", plenty); r.Fault != transport.FaultNone || w.Lane.Stats().Dials != 1 {
		t.Errorf("fault %v, %d dials; want an answer on the same connection", r.Fault, w.Lane.Stats().Dials)
	}
}

// TestRFC9114Section5_2 has the server shut down (GOAWAY) under load: queries go on to another connection.
func TestRFC9114Section5_2(t *testing.T) {
	lanetest.NoLeaks(t)
	var v versions
	s := startBoth(t, v.honest)
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	lanetest.Eventually(t, "a query over HTTP/3", func() bool {
		return w.Ask("example.", plenty).Fault == transport.FaultNone && v.three.Load() > 0
	})
	const queries = 300
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
		if i == queries/2 {
			go s.http3.Shutdown(t.Context())
		}
	}
	// A query that meets two connections to the leaving server is given back for the worker to send again.
	got := lanetest.Tally(w.Receive(queries))
	if got[transport.FaultNone]+got[transport.FaultClosed] != queries || got[transport.FaultClosed] > queries/20 {
		t.Errorf("replies %v, want %d answers", got, queries)
	}
}

// TestHeaderTooLarge3 is the HTTP/3 side of a bound that TestResponses checks over HTTP/2.
func TestHeaderTooLarge3(t *testing.T) {
	lanetest.NoLeaks(t)
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		for range 2 * headerBytesMax / 1000 {
			w.Header().Add("X-Large", base64.StdEncoding.EncodeToString(make([]byte, 750)))
		}
		honest(w, r)
	})
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultProtocol {
		t.Errorf("fault %v, want %v", r.Fault, transport.FaultProtocol)
	}
}
