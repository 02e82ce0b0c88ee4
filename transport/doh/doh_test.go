package doh

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/pool"
)

const plenty = 15 * time.Second // a query's deadline where it is not the point

// server is net/http on loopback.
type server struct {
	addr     netip.AddrPort
	http     *http.Server
	accepted atomic.Int32
	once     sync.Once
	done     chan struct{}
}

func serve(t testing.TB, address string, cfg *tls.Config, settings *http.HTTP2Config, handle http.HandlerFunc) *server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, cfg, settings, handle)
}

func serveOn(t testing.TB, listener net.Listener, cfg *tls.Config, settings *http.HTTP2Config, handle http.HandlerFunc) *server {
	t.Helper()
	s := &server{addr: listener.Addr().(*net.TCPAddr).AddrPort(), done: make(chan struct{})}
	s.http = &http.Server{
		Handler: handle, TLSConfig: cfg, HTTP2: settings, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.accepted.Add(1)
			}
		},
	}
	go func() {
		defer close(s.done)
		_ = s.http.ServeTLS(listener, "", "")
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.once.Do(func() {
		s.http.Close()
		<-s.done
	})
}

// start returns a server and an endpoint that trusts it.
func start(t *testing.T, settings *http.HTTP2Config, handle http.HandlerFunc) (*server, *transport.Endpoint, *lanetest.Health) {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "h2"), settings, handle)
	health := new(lanetest.Health)
	return s, lanetest.Endpoint(transport.HTTPS, s.addr, authority.Client(lanetest.ServerName), health), health
}

// respond answers with the media type and message of RFC 8484, the message changed by spoil.
func respond(w http.ResponseWriter, r *http.Request, spoil func([]byte) []byte) {
	query, err := message(r)
	if err != nil || len(query) < 12 {
		return
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(spoil(lanetest.Answer(query)))
}

// message returns the query of a request by POST or GET (RFC 8484 §4.1).
func message(r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet {
		return base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
	}
	return io.ReadAll(r.Body)
}

func same(b []byte) []byte { return b }

func honest(w http.ResponseWriter, r *http.Request) { respond(w, r, same) }

func TestAnswers(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, health := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/dns-query?via=test" || r.ProtoMajor != 2 {
			t.Errorf("request %s %s %s, want POST /dns-query?via=test HTTP/2.0", r.Method, r.URL.RequestURI(), r.Proto)
		}
		if host, _, _ := net.SplitHostPort(r.Host); host != lanetest.ServerName || r.Header.Get("Content-Type") != mediaType ||
			r.Header.Get("Accept") != mediaType || r.UserAgent() != "" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("request to %s with header %v", r.Host, r.Header)
		}
		honest(w, r)
	})
	e.Path = "/dns-query?via=test"
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 20 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone || len(r.Msg.Answer) != 1 || r.Msg.Id != 0 {
			t.Fatalf("query %d: fault %v, message %v", i, r.Fault, r.Msg)
		}
	}
	if got := w.Lane.Stats(); got.Dials != 1 || got.Open != 1 || got.Answered != 20 {
		t.Errorf("after 20 queries: %+v, want one dial, one connection, 20 answers", got)
	}
	if health.Ups() == 0 || len(health.Downs()) != 0 {
		t.Errorf("health: up %d times, down %v; want up, never down", health.Ups(), health.Downs())
	}
}

// TestRFC8484Section4_1 asks by GET: the query with id 0 in base64url without padding, no body, and the rest of the URL as configured.
func TestRFC8484Section4_1(t *testing.T) {
	for _, path := range []string{"/dns-query", "/dns-query{?dns}", "/q?via=test", "/q?via=test{&dns}", "/a%20b{?dns}"} {
		t.Run(path, func(t *testing.T) {
			lanetest.NoLeaks(t)
			resource, err := transport.ParseResource(path)
			if err != nil {
				t.Fatal(err)
			}
			_, e, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
				query, err := message(r)
				if err != nil || len(query) < 12 || query[0] != 0 || query[1] != 0 {
					t.Errorf("query %x, %v", query, err)
				}
				if want := resource.Get([]byte(base64.RawURLEncoding.EncodeToString(query))); r.Method != http.MethodGet || r.URL.RequestURI() != want {
					t.Errorf("request %s %s, want GET %s", r.Method, r.URL.RequestURI(), want)
				}
				if r.ContentLength != 0 || r.Header.Get("Content-Type") != "" || r.Header.Get("Accept") != mediaType || r.UserAgent() != "" {
					t.Errorf("%d bytes of body, header %v", r.ContentLength, r.Header)
				}
				honest(w, r)
			})
			e.Path, e.Get = path, true
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			for i := range 5 {
				if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
					t.Fatalf("query %d: fault %v", i, r.Fault)
				}
			}
		})
	}
}

// TestStreamLimit has more queries outstanding than the server allows streams: they wait their turn, and one that is never answered
// holds up one stream only.
func TestStreamLimit(t *testing.T) {
	lanetest.NoLeaks(t)
	var count atomic.Int32
	_, e, _ := start(t, &http.HTTP2Config{MaxConcurrentStreams: 8}, func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1)%100 == 50 {
			<-r.Context().Done() // until the client gives up
			return
		}
		honest(w, r)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries = 400
	for i := range queries {
		w.Submit(lanetest.Name(i), 4*time.Second)
	}
	got := lanetest.Tally(w.Receive(queries))
	if got[transport.FaultTimeout] > queries/100 || got[transport.FaultNone]+got[transport.FaultTimeout] != queries {
		t.Errorf("replies %v, want answers and at most %d timeouts", got, queries/100)
	}
}

// TestResponses has servers answer in ways that RFC 8484 and HTTP allow, and in ways they do not.
func TestResponses(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(code)
			honest(w, r)
		}
	}
	once := func(code int) http.HandlerFunc {
		var before atomic.Bool
		return func(w http.ResponseWriter, r *http.Request) {
			if !before.Swap(true) {
				w.WriteHeader(code)
				return
			}
			honest(w, r)
		}
	}
	kind := func(value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			query, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", value)
			_, _ = w.Write(lanetest.Answer(query))
		}
	}
	spoilt := func(spoil func([]byte) []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { respond(w, r, spoil) }
	}
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
		want   transport.Fault
	}{
		{"right", honest, transport.FaultNone},
		{"parameter on the media type", kind(mediaType + "; charset=none"), transport.FaultNone},
		{"other media type", kind("text/html"), transport.FaultProtocol},
		{"broken media type", kind(";;"), transport.FaultProtocol},
		{"redirect", status(http.StatusFound), transport.FaultProtocol},
		{"not found", status(http.StatusNotFound), transport.FaultProtocol},
		{"internal error", status(http.StatusInternalServerError), transport.FaultProtocol},
		{"request timeout", once(http.StatusRequestTimeout), transport.FaultNone}, // sent again on another connection
		{"too early", once(http.StatusTooEarly), transport.FaultNone},             // sent again
		{"misdirected request", status(http.StatusMisdirectedRequest), transport.FaultClosed},
		{"too many requests", status(http.StatusTooManyRequests), transport.FaultFull},
		{"unavailable", status(http.StatusServiceUnavailable), transport.FaultFull},
		{"empty body", spoilt(func([]byte) []byte { return nil }), transport.FaultProtocol},
		{"short body", spoilt(func(b []byte) []byte { return b[:11] }), transport.FaultProtocol},
		{"other question", spoilt(func(b []byte) []byte { b[13] ^= 1; return b }), transport.FaultProtocol},
		{"other id", spoilt(func(b []byte) []byte { b[0] ^= 1; return b }), transport.FaultNone}, // SHOULD, RFC 8484 §4.1
		{"largest body", spoilt(func(b []byte) []byte { return extend(b, transport.MessageBytesMax) }), transport.FaultNone},
		{"body too large", spoilt(func(b []byte) []byte { return append(b, make([]byte, transport.MessageBytesMax)...) }), transport.FaultProtocol},
		{"body without end", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			for block := make([]byte, 4096); r.Context().Err() == nil; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, transport.FaultProtocol},
		{"header too large", func(w http.ResponseWriter, r *http.Request) {
			for range 2 * headerBytesMax / 1000 {
				w.Header().Add("X-Large", strings.Repeat("x", 1000))
			}
			honest(w, r)
		}, transport.FaultProtocol},
		{"aborted", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, transport.FaultProtocol},
		{"body cut short", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 50))
			panic(http.ErrAbortHandler)
		}, transport.FaultProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			_, e, _ := start(t, nil, test.handle)
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != test.want {
				t.Errorf("fault %v, want %v", r.Fault, test.want)
			}
		})
	}
}

// extend appends a NULL record to answer, which has one record, until it has size bytes.
func extend(answer []byte, size int) []byte {
	n := size - len(answer) - 11
	answer = append(answer, 0, 0, 10, 0, 1, 0, 0, 0, 60, byte(n>>8), byte(n))
	answer[7] = 2
	return append(answer, make([]byte, n)...)
}

// lane returns a lane to e that nobody serves.
func lane(t *testing.T, e *transport.Endpoint) *transport.Lane {
	t.Helper()
	l, err := transport.NewLane(e, func() {}, transport.LaneLimits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// TestBuffersComeBack gives up on exchanges at every stage and writes to their buffers right after: nobody may still read them. The
// race detector is the judge.
func TestBuffersComeBack(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, _ := start(t, nil, honest)
	p := newProtocol(lane(t, e))
	defer p.Close()
	c, err := p.Dial(t.Context(), e.Addresses.Load()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	query := lanetest.Query("example.")
	framed := append([]byte{0, byte(len(query))}, query...)
	buf := make([]byte, 512)
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Microsecond)
		c.(pool.Exchanger).Exchange(ctx, framed, buf[:0])
		for _, b := range [][]byte{framed, buf} {
			for j := range b {
				b[j] ^= 0xff
			}
		}
		copy(framed[2:], query)
		cancel()
	}
}

// TestServerCloses has the server say that it will close (GOAWAY), and do so, after every answer.
func TestServerCloses(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, health := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		honest(w, r)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 10 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v, want an answer", i, r.Fault)
		}
	}
	if got := w.Lane.Stats(); s.accepted.Load() < 5 || got.Resumed == 0 {
		t.Errorf("%d connections, stats %+v; want many, with resumed sessions", s.accepted.Load(), got)
	}
	if downs := health.Downs(); len(downs) != 0 {
		t.Errorf("orderly closes reported as down: %v", downs)
	}
}

// mute takes queries and answers none.
func mute(t *testing.T) (*transport.Endpoint, *lanetest.Health) {
	_, e, health := start(t, nil, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return e, health
}

func TestSilence(t *testing.T) { lanetest.CheckSilence(t, Run, mute) }

func TestLosers(t *testing.T) { lanetest.CheckLosers(t, Run, mute) }

// TestDialsSideBySide: what the addresses of an endpoint are dialed with is not shared (for the race detector).
func TestDialsSideBySide(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, _ := start(t, nil, honest)
	p := newProtocol(lane(t, e))
	defer p.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			c, err := p.dial2(t.Context(), e.Addresses.Load()[0])
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	group.Wait()
	s.stop()
}

// TestCrashAndRestart kills the server with queries outstanding and starts it again on the same port.
func TestCrashAndRestart(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	cfg := authority.Server(lanetest.ServerName, time.Hour, "h2")
	var mute atomic.Bool
	handle := func(w http.ResponseWriter, r *http.Request) {
		if mute.Load() {
			<-r.Context().Done()
			return
		}
		honest(w, r)
	}
	s := serve(t, "127.0.0.1:0", cfg, nil, handle)
	health := new(lanetest.Health)
	e := lanetest.Endpoint(transport.HTTPS, s.addr, authority.Client(lanetest.ServerName), health)
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("before: fault %v", r.Fault)
	}
	mute.Store(true)
	w.Submit("during.example.", plenty)
	s.stop()
	if r := w.Receive(1)[0]; r.Fault == transport.FaultNone {
		t.Fatal("during: answered by a dead server")
	}
	lanetest.Eventually(t, "refused", func() bool {
		w.Ask("refused.example.", plenty)
		return len(health.Downs()) > 0
	})
	mute.Store(false)
	serve(t, s.addr.String(), cfg, nil, handle)
	lanetest.Eventually(t, "an answer after the restart", func() bool {
		return w.Ask("after.example.", plenty).Fault == transport.FaultNone
	})
}

// TestNoServer has nobody there, or somebody with the wrong papers.
func TestNoServer(t *testing.T) {
	mine, other := lanetest.NewAuthority(t), lanetest.NewAuthority(t)
	for _, test := range []struct {
		name      string
		authority *lanetest.Authority
		server    string
		valid     time.Duration
		protocol  string
		want      transport.Fault
		cause     transport.Cause
	}{
		{"unknown authority", other, lanetest.ServerName, time.Hour, "h2", transport.FaultTLS, transport.CauseUnknownAuthority},
		{"expired", mine, lanetest.ServerName, -time.Hour, "h2", transport.FaultTLS, transport.CauseExpired},
		{"wrong name", mine, "other.example", time.Hour, "h2", transport.FaultTLS, transport.CauseWrongName},
		{"refused", nil, "", 0, "", transport.FaultDial, transport.CauseRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := serve(t, "127.0.0.1:0", mine.Server("x", time.Hour), nil, honest)
			if test.authority == nil {
				s.stop()
			} else {
				s = serve(t, "127.0.0.1:0", test.authority.Server(test.server, test.valid, test.protocol), nil, honest)
			}
			health := new(lanetest.Health)
			w := lanetest.Open(t, lanetest.Endpoint(transport.HTTPS, s.addr, mine.Client(lanetest.ServerName), health), Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != test.want {
				t.Errorf("fault %v, want %v", r.Fault, test.want)
			}
			var dial *transport.DialError
			lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
			if !errors.As(health.Downs()[0], &dial) || dial.Cause != test.cause || dial.Address != s.addr {
				t.Errorf("down: %v, want cause %q at %v", health.Downs()[0], test.cause, s.addr)
			}
		})
	}
}

func TestIdleCloseAndShutdown(t *testing.T) {
	lanetest.NoLeaks(t)
	var mute atomic.Bool
	_, e, health := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if mute.Load() {
			<-r.Context().Done()
			return
		}
		honest(w, r)
	})
	e.IdleTimeout = 50 * time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	w.Ask("example.", plenty)
	lanetest.Eventually(t, "idle connection closed", func() bool { return w.Lane.Stats().Open == 0 })
	if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone {
		t.Errorf("after the idle close: fault %v", r.Fault)
	}
	mute.Store(true)
	const outstanding = 100
	for i := range outstanding {
		w.Submit(lanetest.Name(i), plenty)
	}
	w.Close()
	if got := w.Lane.Stats().Failed[transport.FaultShutdown]; got != outstanding {
		t.Errorf("%d queries failed by the shutdown, want %d", got, outstanding)
	}
	if downs := health.Downs(); len(downs) != 0 {
		t.Errorf("our own closes reported as down: %v", downs)
	}
}
