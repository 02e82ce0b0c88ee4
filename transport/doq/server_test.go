package doq

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport/lanetest"
)

// server is a QUIC server on loopback. Each stream is served by a function of the test.
type server struct {
	t        testing.TB
	addr     netip.AddrPort
	tls      *tls.Config
	socket   *net.UDPConn
	mux      *quic.Transport
	accepted atomic.Int32
	group    sync.WaitGroup
	once     sync.Once

	mu    sync.Mutex
	conns []*quic.Conn // accepted so far
}

// last returns the connection that was accepted last.
func (s *server) last() *quic.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[len(s.conns)-1]
}

// served is one stream of a client, with its query read to the end.
type served struct {
	conn   *quic.Conn
	stream *quic.Stream
	query  []byte
	number int // of the stream on its connection, from 0
}

// answer sends each message with its length, and ends the stream.
func (x *served) answer(messages ...[]byte) {
	for _, msg := range messages {
		_, _ = x.stream.Write(binary.BigEndian.AppendUint16(nil, uint16(len(msg))))
		_, _ = x.stream.Write(msg)
	}
	_ = x.stream.Close()
}

func serve(t testing.TB, address string, cfg *tls.Config, limits *quic.Config, handle func(x *served)) *server {
	t.Helper()
	return serveOver(t, address, new(quic.Transport), cfg, limits, handle)
}

// serveOver is serve with a transport that the test has set up, but for its socket.
func serveOver(t testing.TB, address string, over *quic.Transport, cfg *tls.Config, limits *quic.Config, handle func(x *served)) *server {
	t.Helper()
	udp, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, tls: cfg}
	if s.socket, err = net.ListenUDP("udp", udp); err != nil {
		t.Fatal(err)
	}
	s.addr = s.socket.LocalAddr().(*net.UDPAddr).AddrPort()
	over.Conn, s.mux = s.socket, over
	listener, err := s.mux.Listen(cfg, limits)
	if err != nil {
		t.Fatal(err)
	}
	s.group.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.group.Go(func() { s.converse(conn, handle) })
		}
	})
	t.Cleanup(s.stop)
	return s
}

// converse serves the streams of one connection.
func (s *server) converse(conn *quic.Conn, handle func(x *served)) {
	for number := 0; ; number++ {
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		s.group.Go(func() {
			b, err := io.ReadAll(stream)
			if err != nil {
				return // cancelled
			}
			if len(b) < 14 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
				s.t.Errorf("stream %d: %x is not one message and the end of the stream", number, b)
				return
			}
			if b[2] != 0 || b[3] != 0 {
				s.t.Errorf("stream %d: message id %x, want 0", number, b[2:4])
			}
			handle(&served{conn: conn, stream: stream, query: b[2:], number: number})
		})
	}
}

// stop ends the server without a word to its clients, as a crash does, and waits.
func (s *server) stop() {
	s.once.Do(func() {
		s.socket.Close()
		s.mux.Close()
		s.group.Wait()
	})
}

func honest(x *served) { x.answer(lanetest.Answer(x.query)) }
