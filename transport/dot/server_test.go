package dot

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// server is a loopback listener whose connections are each served by a function of the test.
type server struct {
	t     testing.TB
	addr  netip.AddrPort
	group sync.WaitGroup

	options net.ListenConfig

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	accepted int
}

// serve listens, over TLS unless cfg is nil. The function gets one connection and may return at any time; the connection is closed.
func serve(t testing.TB, cfg *tls.Config, handle func(s *server, conn net.Conn)) *server {
	t.Helper()
	s := &server{t: t, conns: map[net.Conn]bool{}}
	s.listen("127.0.0.1:0", cfg, handle)
	t.Cleanup(s.stop)
	return s
}

func (s *server) listen(address string, cfg *tls.Config, handle func(s *server, conn net.Conn)) {
	s.t.Helper()
	listener, err := s.options.Listen(s.t.Context(), "tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.listener, s.addr = listener, listener.Addr().(*net.TCPAddr).AddrPort()
	s.group.Go(func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[raw] = true
			s.accepted++
			s.mu.Unlock()
			s.group.Go(func() {
				conn := raw
				if cfg != nil {
					conn = tls.Server(raw, cfg)
				}
				handle(s, conn)
				conn.Close()
				s.mu.Lock()
				delete(s.conns, raw)
				s.mu.Unlock()
			})
		}
	})
}

// stop closes listener and connections and waits for their goroutines.
func (s *server) stop() {
	s.mu.Lock()
	s.listener.Close()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
}

// connections returns how many have been accepted.
func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// endpoint returns an endpoint that leads to s.
func (s *server) endpoint(client *tls.Config, health transport.Reporter) *transport.Endpoint {
	scheme := transport.TCP
	if client != nil {
		scheme = transport.TLS
	}
	return lanetest.Endpoint(scheme, s.addr, client, health)
}

// readFrame returns the next message, or nil at the end of the stream.
func readFrame(conn net.Conn) []byte {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, msg); err != nil {
		return nil
	}
	return msg
}

// frame puts the length in front of each message and joins them.
func frame(messages ...[]byte) []byte {
	var b []byte
	for _, msg := range messages {
		b = binary.BigEndian.AppendUint16(b, uint16(len(msg)))
		b = append(b, msg...)
	}
	return b
}

// honest answers everything at once.
func honest(_ *server, conn net.Conn) {
	for {
		query := readFrame(conn)
		if query == nil {
			return
		}
		if _, err := conn.Write(frame(lanetest.Answer(query))); err != nil {
			return
		}
	}
}

// closingAfter answers so many queries and hangs up.
func closingAfter(queries int) func(*server, net.Conn) {
	return func(_ *server, conn net.Conn) {
		for range queries {
			query := readFrame(conn)
			if query == nil {
				return
			}
			if _, err := conn.Write(frame(lanetest.Answer(query))); err != nil {
				return
			}
		}
	}
}

// silent reads and never answers.
func silent(_ *server, conn net.Conn) {
	for readFrame(conn) != nil {
	}
}
