package relay

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// conversation is a message that a server has got, and how it answers. Over https only one answer is possible.
type conversation struct {
	query []byte
	write func(raw []byte) error // as it is
}

// say answers with a message. The error is that of a client that has gone.
func (c *conversation) say(msg []byte) error {
	return c.write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
}

// server takes messages over one kind of transport on loopback; when handle returns, the connection is closed.
type server struct {
	end   *transport.Endpoint
	asked atomic.Int32
}

// kinds are the transports.
var kinds = []string{"udp", "tcp", "tls", "quic", "https", "h3"}

func serve(t *testing.T, kind string, handle func(c *conversation)) *server {
	t.Helper()
	s := new(server)
	authority := lanetest.NewAuthority(t)
	counted := func(c *conversation) { s.asked.Add(1); handle(c) }
	var address netip.AddrPort
	scheme := map[string]transport.Scheme{"udp": transport.UDP, "tcp": transport.TCP, "tls": transport.TLS, "quic": transport.QUIC, "https": transport.HTTPS, "h3": transport.HTTPS}[kind]
	switch kind {
	case "quic":
		address = serveQUIC(t, authority.Server(lanetest.ServerName, time.Hour, "doq"), counted)
	case "https", "h3":
		address = serveHTTP(t, kind, authority, counted)
	default:
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address = listener.Addr().(*net.TCPAddr).AddrPort()
		if kind == "tls" {
			listener = tls.NewListener(listener, authority.Server(lanetest.ServerName, time.Hour))
		}
		serveStreams(t, listener, counted)
	}
	var client *tls.Config
	if scheme.Encrypted() {
		client = authority.Client(lanetest.ServerName)
	}
	s.end = lanetest.Endpoint(scheme, address, client, nil)
	if scheme == transport.HTTPS {
		s.end.Path = "/dns-query"
	}
	if kind == "h3" {
		s.end.HTTP3 = transport.HTTP3Only
	}
	return s
}

// serveStreams serves each connection until its handler returns.
func serveStreams(t *testing.T, listener net.Listener, handle func(c *conversation)) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	group.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			group.Go(func() {
				defer conn.Close()
				if query, err := readFrame(conn); err == nil {
					handle(&conversation{query, func(raw []byte) error { _, err := conn.Write(raw); return err }})
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		group.Wait()
	})
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func serveQUIC(t *testing.T, cfg *tls.Config, handle func(c *conversation)) netip.AddrPort {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	mux := &quic.Transport{Conn: socket}
	listener, err := mux.Listen(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for conn, err := listener.Accept(context.Background()); err == nil; conn, err = listener.Accept(context.Background()) {
			group.Go(func() {
				stream, err := conn.AcceptStream(context.Background())
				if err != nil {
					return
				}
				if query, err := readFrame(stream); err == nil {
					handle(&conversation{query, func(raw []byte) error { _, err := stream.Write(raw); return err }})
				}
				stream.Close()
				<-conn.Context().Done()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mux.Close()
		group.Wait()
		socket.Close()
	})
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

func serveHTTP(t *testing.T, kind string, authority *lanetest.Authority, handle func(c *conversation)) netip.AddrPort {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/dns-query" || r.Header.Get("Content-Type") != "application/dns-message" {
			t.Errorf("request %s %s: %v", r.Method, r.URL, err)
		}
		w.Header().Set("Content-Type", "application/dns-message")
		w.Header().Set("Cache-Control", "max-age=1") // says nothing of what is no cacheable answer
		handle(&conversation{query, func(raw []byte) error { _, err := w.Write(raw[2:]); return err }})
	})
	quiet := log.New(io.Discard, "", 0)
	if kind == "h3" {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		s := &http3.Server{Handler: handler, TLSConfig: authority.Server(lanetest.ServerName, time.Hour, "h3")}
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Serve(socket) }()
		t.Cleanup(func() { s.Close(); <-done; socket.Close() })
		return socket.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, TLSConfig: authority.Server(lanetest.ServerName, time.Hour, "h2"), ErrorLog: quiet}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// user is the worker's side of a Line.
type user struct {
	t    *testing.T
	line *Line
	wake chan struct{}
	gen  uint32
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, wake: make(chan struct{}, 1)}
	var err error
	u.line, err = NewLine(func() {
		select {
		case u.wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	u.line.Serve()
	t.Cleanup(u.close)
	return u
}

func (u *user) close() {
	ctx, cancel := context.WithTimeout(context.Background(), lanetest.Patience)
	defer cancel()
	if err := u.line.Close(ctx); err != nil {
		u.t.Error(err)
	}
}

// start begins a job at place 0 with patience from now on.
func (u *user) start(job Job, patience time.Duration, to ...*server) {
	for _, s := range to {
		job.Endpoints = append(job.Endpoints, s.end)
	}
	job.Deadline = transport.Now() + patience
	u.line.Jobs[0] = job
	u.gen++
	if !u.line.Start(0, u.gen) {
		u.t.Fatal("not taken")
	}
	u.line.Flush()
}

func (u *user) more() {
	if !u.line.More(0, u.gen) {
		u.t.Fatal("not taken")
	}
	u.line.Flush()
}

// receive waits for the next reply.
func (u *user) receive() Reply {
	u.t.Helper()
	for end := time.After(lanetest.Patience); ; {
		if r, ok := u.line.Receive(); ok {
			if r.Place != 0 || r.Gen != u.gen {
				u.t.Fatalf("a reply of place %d, generation %d", r.Place, r.Gen)
			}
			return r
		}
		select {
		case <-u.wake:
		case <-end:
			u.t.Fatal("no reply")
		}
	}
}

// updateMessage is an UPDATE that no lane would take: long, and with bytes at its end that no record counts.
func updateMessage(t *testing.T) []byte {
	m := new(dns.Msg).SetUpdate("Example.")
	m.Id = 0xABCD
	for range 2200 {
		m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}})
	}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, "beyond"...)
}

// answerTo is a response of the length of a query, with its id and opcode.
func answerTo(query []byte) []byte {
	msg := append([]byte(nil), query...)
	msg[2] |= 0x80
	return msg
}
