package appliance

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// quicServer answers DNS over QUIC, names that begin with "hold" when it is told to, and remembers its connections.
type quicServer struct {
	url     string
	release chan struct{}
	now     atomic.Int32 // queries under way
	most    atomic.Int32
	sent    atomic.Int64 // bytes of answers without end: names that begin with "flood"

	mu    sync.Mutex
	conns []*quic.Conn
}

func startQUIC(t *testing.T) *quicServer {
	t.Helper()
	s := &quicServer{release: make(chan struct{})}
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, NextProtos: []string{"doq"}},
		&quic.Config{Allow0RTT: true, MaxIncomingStreams: 1000})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "quic://" + listener.Addr().String()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			group.Go(func() {
				for {
					stream, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					group.Go(func() { s.serve(stream) })
				}
			})
		}
	})
	t.Cleanup(func() {
		for _, conn := range s.seen() {
			_ = conn.CloseWithError(0, "")
		}
		listener.Close()
		group.Wait()
	})
	return s
}

func (s *quicServer) seen() []*quic.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*quic.Conn(nil), s.conns...)
}

func (s *quicServer) serve(stream *quic.Stream) {
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n) // more is all that a test asks for
	}
	defer s.now.Add(-1)
	defer stream.Close()
	frame, err := io.ReadAll(stream)
	query := new(dns.Msg)
	if err != nil || len(frame) < 2 || query.Unpack(frame[2:]) != nil {
		return
	}
	name := query.Question[0].Name
	if name[:1] == "h" {
		select {
		case <-s.release:
		case <-stream.Context().Done():
			return
		}
	}
	for chunk := make([]byte, 1000); name[:1] == "f"; {
		n, err := stream.Write(chunk)
		s.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
	answer, err := new(dns.Msg).SetReply(query).Pack()
	if err == nil {
		_, _ = stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

// askQUIC starts the proxy in front of the server, with lines for [quic] and for the upstream, and asks one question.
func askQUIC(t *testing.T, s *quicServer, all, own string) *product {
	t.Helper()
	p := start(t, fmt.Sprintf("%s\nprewarm_pools = false\ncache.enabled = false\ntimeouts.idle = \"1s\"\n[quic]\n%s\n[[upstream]]\nurl = %q\ninsecure_tls = true\n%s\n", head, all, s.url, own))
	if reply := p.ask(t, "udp", "q.example."); reply.Rcode != dns.RcodeSuccess {
		t.Fatal(reply)
	}
	return p
}

func TestQUICVersionKeys(t *testing.T) {
	for _, test := range []struct {
		all, own string
		want     quic.Version
	}{{"", "", quic.Version1}, {`versions = ["2", "1"]`, "", quic.Version2}, {`versions = "2"`, `quic_versions = "1"`, quic.Version1}} {
		s := startQUIC(t)
		askQUIC(t, s, test.all, test.own)
		if got := s.seen()[0].ConnectionState().Version; got != test.want {
			t.Errorf("%q, %q: version %v, want %v", test.all, test.own, got, test.want)
		}
	}
}

func TestQUICMaxStreamsKeys(t *testing.T) {
	for _, test := range []struct {
		all, own string
		want     int32
	}{{"", "", 8}, {"max_streams = 3", "", 3}, {"max_streams = 100", "quic_max_streams = 2", 2}} {
		s := startQUIC(t)
		p := askQUIC(t, s, test.all, test.own)
		s.most.Store(0)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() { p.ask(t, "udp", fmt.Sprintf("hold%d.example.", i)) })
		}
		await(t, "as many queries as may be", func() bool { return s.now.Load() >= test.want })
		time.Sleep(50 * time.Millisecond) // time to do it wrong
		close(s.release)
		group.Wait()
		if got := s.most.Load(); got != test.want {
			t.Errorf("%q, %q: %d queries at a time, want %d", test.all, test.own, got, test.want)
		}
	}
}

// Without keep-alives a connection is closed at half of max_idle; with them only timeouts.idle does that.
func TestQUICIdleKeys(t *testing.T) {
	for _, test := range []struct {
		all, own string
		stays    bool
	}{
		{`max_idle = "1s"` + "\nkeep_alive = \"100ms\"", "", true},
		{`max_idle = "1s"` + "\nkeep_alive = \"0s\"", "", false},
		{`max_idle = "1s"` + "\nkeep_alive = \"100ms\"", `quic_keep_alive = "0s"`, false},
		{`max_idle = "1m"`, `quic_keep_alive = "0s"`, true},
	} {
		s := startQUIC(t)
		p := start(t, fmt.Sprintf("%s\ntimeouts.idle = \"1h\"\nprewarm_pools = false\n[quic]\n%s\n[[upstream]]\nurl = %q\ninsecure_tls = true\n%s\n", head, test.all, s.url, test.own))
		p.ask(t, "udp", "q.example.")
		ended := s.seen()[0].Context().Done()
		if !test.stays {
			<-ended
			continue
		}
		select {
		case <-ended:
			t.Errorf("%q, %q: the connection has ended", test.all, test.own)
		case <-time.After(2 * time.Second):
		}
	}
}

func TestQUICWindowKeys(t *testing.T) {
	for _, test := range []struct {
		all     string
		streams int
		want    int64
	}{
		{"", 1, 128 << 10},
		{`stream_window = "1MiB"`, 1, 1 << 20},
		{"max_streams = 8\nstream_window = \"1MiB\"", 4, 8 * 65537},
		{"max_streams = 8\nstream_window = \"1MiB\"\nconnection_window = \"2MiB\"", 4, 2 << 20},
	} {
		t.Run(test.all, func(t *testing.T) {
			t.Parallel() // each ends when its queries time out
			s := startQUIC(t)
			p := askQUIC(t, s, test.all, "")
			var group sync.WaitGroup
			for i := range test.streams {
				group.Go(func() { p.ask(t, "udp", fmt.Sprintf("flood%d.example.", i)) })
			}
			slack := 2000 * int64(test.streams) // what a server's QUIC takes of a write before there is room
			await(t, "the window is used", func() bool { return s.sent.Load() >= test.want-slack })
			if got := s.sent.Load(); got > test.want+slack {
				t.Errorf("%q: %d bytes sent, want %d", test.all, got, test.want)
			}
			group.Wait()
		})
	}
}

// TestQUICMaxQueriesKeys: connection.max_queries holds over QUIC as it does over TLS.
func TestQUICMaxQueriesKeys(t *testing.T) {
	s := startQUIC(t)
	p := askQUIC(t, s, "", "max_queries = 4")
	for i := 0; len(s.seen()) < 3 && i < 5000; i++ {
		p.ask(t, "udp", fmt.Sprintf("q%d.example.", i))
	}
	if got := len(s.seen()); got < 3 {
		t.Errorf("%d connections, want 3", got)
	}
}
