package doq

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

const plenty = 15 * time.Second // a query's deadline where it is not the point

// start returns a server and an endpoint that trusts it.
func start(t *testing.T, limits *quic.Config, handle func(x *served)) (*server, *transport.Endpoint, *lanetest.Health) {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), limits, handle)
	health := new(lanetest.Health)
	return s, lanetest.Endpoint(transport.QUIC, s.addr, authority.Client(lanetest.ServerName), health), health
}

func TestAnswers(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, health := start(t, nil, honest)
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 20 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone || len(r.Msg.Answer) != 1 {
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

// TestStreamLimit has more queries outstanding than the server allows streams: they wait their turn, and one that is never answered
// holds up one stream only.
func TestStreamLimit(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, _ := start(t, &quic.Config{MaxIncomingStreams: 8}, func(x *served) {
		if x.query[13] == 'm' { // mute
			<-x.stream.Context().Done() // until the client gives up
			return
		}
		honest(x)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries, mute = 400, 4
	for i := range queries {
		if i%(queries/mute) == 0 {
			w.Submit("mute"+lanetest.Name(i), time.Second)
			continue
		}
		w.Submit(lanetest.Name(i), time.Hour)
	}
	got := lanetest.Tally(w.Receive(queries))
	if got[transport.FaultNone] != queries-mute || got[transport.FaultTimeout]+got[transport.FaultFull] != mute {
		t.Errorf("replies %v, want %d answers, and none for %d", got, queries-mute, mute)
	}
}

// TestRFC9250Section4_3_3 has servers break the protocol in various ways.
func TestRFC9250Section4_3_3(t *testing.T) {
	flip := func(at int, bit byte) func(x *served) {
		return func(x *served) {
			msg := lanetest.Answer(x.query)
			msg[at] ^= bit
			x.answer(msg)
		}
	}
	for _, test := range []struct {
		name   string
		handle func(x *served)
		want   transport.Fault
		code   quic.ApplicationErrorCode // the connection is closed with it; 0: it stays
	}{
		{"id not 0", flip(1, 1), transport.FaultProtocol, codeProtocolError},
		{"two messages", func(x *served) { m := lanetest.Answer(x.query); x.answer(m, m) }, transport.FaultProtocol, codeProtocolError},
		{"no message", func(x *served) { x.answer() }, transport.FaultProtocol, codeProtocolError},
		{"zero-length message", func(x *served) { x.answer(nil) }, transport.FaultProtocol, codeProtocolError},
		{"shorter than announced", func(x *served) {
			_, _ = x.stream.Write([]byte{0, 100, 0, 0})
			_ = x.stream.Close()
		}, transport.FaultProtocol, codeProtocolError},
		{"wrong name", flip(13, 1), transport.FaultProtocol, 0},
		{"longer than the longest", func(x *served) { x.answer(make([]byte, 65535), make([]byte, 100)) }, transport.FaultProtocol, codeProtocolError},
		{"keepalive", func(x *served) { x.answer(withKeepalive(lanetest.Answer(x.query), []byte{0, 100})) }, transport.FaultProtocol, codeProtocolError},
		{"keepalive without a time", func(x *served) { x.answer(withKeepalive(lanetest.Answer(x.query), nil)) }, transport.FaultProtocol, codeProtocolError},
		{"other case", flip(13, 0x20), transport.FaultNone, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			code := make(chan quic.ApplicationErrorCode, 1)
			_, e, health := start(t, nil, func(x *served) {
				test.handle(x)
				if test.code != 0 {
					<-x.conn.Context().Done()
					var closed *quic.ApplicationError
					_, err := x.conn.AcceptStream(x.conn.Context())
					if errors.As(err, &closed) || errors.As(context.Cause(x.conn.Context()), &closed) {
						code <- closed.ErrorCode
					}
				}
			})
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != test.want {
				t.Errorf("fault %v, want %v", r.Fault, test.want)
			}
			if test.code != 0 {
				if got := <-code; got != test.code {
					t.Errorf("connection closed with code %#x, want %#x", got, test.code)
				}
				lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) == 1 })
			}
		})
	}
}

// withKeepalive returns msg with an OPT that holds an edns-tcp-keepalive option (RFC 7828 §3.1).
func withKeepalive(msg, value []byte) []byte {
	msg[11]++ // ARCOUNT
	msg = append(msg, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, byte(4+len(value)), 0, 11, 0, byte(len(value)))
	return append(msg, value...)
}

// TestServerCloses has the server close its connection, in order, with every third query; each is sent again.
func TestServerCloses(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, health := start(t, nil, func(x *served) {
		if x.number == 2 {
			_ = x.conn.CloseWithError(codeNoError, "")
			return
		}
		honest(x)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 12 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v, want an answer", i, r.Fault)
		}
	}
	got := w.Lane.Stats()
	if s.accepted.Load() < 5 || got.Retried < 4 || got.Resumed == 0 {
		t.Errorf("%d connections, stats %+v; want a new one every two queries, with resumed sessions", s.accepted.Load(), got)
	}
	if downs := health.Downs(); len(downs) != 0 {
		t.Errorf("orderly closes reported as down: %v", downs)
	}
}

// TestCappedAfterClose has the server close every connection after two queries while a cap allows one: the next one is in place of the
// last, though that may not be gone yet.
func TestCappedAfterClose(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, _ := start(t, nil, func(x *served) {
		if x.number == 2 {
			_ = x.conn.CloseWithError(codeNoError, "")
			return
		}
		honest(x)
	})
	limit := transport.NewConnCap("the test")
	limit.Set(1)
	e.ConnCaps = new(transport.ConnCaps)
	e.ConnCaps.Store([]*transport.ConnCap{limit})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 100 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v, want an answer", i, r.Fault)
		}
	}
	w.Close()
	if n := limit.Open(); n != 0 {
		t.Errorf("%d places are taken for nothing", n)
	}
}

// mute takes queries and answers none.
func mute(t *testing.T) (*transport.Endpoint, *lanetest.Health) {
	_, e, health := start(t, nil, func(x *served) { <-x.stream.Context().Done() })
	return e, health
}

func TestSilence(t *testing.T) { lanetest.CheckSilence(t, Run, mute) }

func TestLosers(t *testing.T) { lanetest.CheckLosers(t, Run, mute) }

// TestCrashAndRestart kills the server with queries outstanding and starts it again on the same port.
func TestCrashAndRestart(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	cfg := authority.Server(lanetest.ServerName, time.Hour, "doq")
	var mute atomic.Bool
	handle := func(x *served) {
		if mute.Load() {
			<-x.stream.Context().Done()
			return
		}
		honest(x)
	}
	s := serve(t, "127.0.0.1:0", cfg, nil, handle)
	e := lanetest.Endpoint(transport.QUIC, s.addr, authority.Client(lanetest.ServerName), nil)
	e.DeadAfter, e.DialTimeout, e.Prewarm = 300*time.Millisecond, 500*time.Millisecond, true
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
		{"unknown authority", other, lanetest.ServerName, time.Hour, "doq", transport.FaultTLS, transport.CauseUnknownAuthority},
		{"expired", mine, lanetest.ServerName, -time.Hour, "doq", transport.FaultTLS, transport.CauseExpired},
		{"wrong name", mine, "other.example", time.Hour, "doq", transport.FaultTLS, transport.CauseWrongName},
		{"wrong protocol", mine, lanetest.ServerName, time.Hour, "h3", transport.FaultTLS, transport.CauseALPN},
		{"black hole", nil, "", 0, "", transport.FaultDial, transport.CauseTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			hole, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // receives and says nothing
			if err != nil {
				t.Fatal(err)
			}
			defer hole.Close()
			addr := hole.LocalAddr().(*net.UDPAddr).AddrPort()
			if test.authority != nil {
				addr = serve(t, "127.0.0.1:0", test.authority.Server(test.server, test.valid, test.protocol), nil, honest).addr
			}
			health := new(lanetest.Health)
			e := lanetest.Endpoint(transport.QUIC, addr, mine.Client(lanetest.ServerName), health)
			e.DialTimeout = 2 * time.Second
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != test.want {
				t.Errorf("fault %v, want %v", r.Fault, test.want)
			}
			var dial *transport.DialError
			lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
			if !errors.As(health.Downs()[0], &dial) || dial.Cause != test.cause || dial.Address != addr {
				t.Errorf("down: %v, want cause %q at %v", health.Downs()[0], test.cause, addr)
			}
		})
	}
}

func TestIdleCloseAndShutdown(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, health := start(t, nil, func(x *served) {
		if x.query[13] == 'm' { // mute
			<-x.stream.Context().Done()
			return
		}
		honest(x)
	})
	e.IdleTimeout = 50 * time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	w.Ask("example.", plenty)
	lanetest.Eventually(t, "idle connection closed", func() bool { return w.Lane.Stats().Open == 0 })
	if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone {
		t.Errorf("after the idle close: fault %v", r.Fault)
	}
	const outstanding = 100
	for i := range outstanding {
		w.Submit("mute"+lanetest.Name(i), plenty)
	}
	w.Close()
	if got := w.Lane.Stats().Failed[transport.FaultShutdown]; got != outstanding {
		t.Errorf("%d queries failed by the shutdown, want %d", got, outstanding)
	}
	if downs := health.Downs(); len(downs) != 0 {
		t.Errorf("our own closes reported as down: %v", downs)
	}
}

// TestCancel gives up a query that the server sits on: its stream is cancelled, its reply comes at once, and the connection stays.
func TestCancel(t *testing.T) {
	lanetest.NoLeaks(t)
	asked, reset := make(chan struct{}), make(chan struct{})
	_, e, _ := start(t, nil, func(x *served) {
		if x.number == 0 {
			close(asked)
			<-x.stream.Context().Done()
			close(reset)
			return
		}
		honest(x)
	})
	e.DeadAfter = time.Hour // silence is not what ends the query
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	w.Submit("silent.example.", time.Hour)
	<-asked
	w.Cancel("silent.example.", false)
	if r := w.Receive(1)[0]; r.Fault != transport.FaultTimeout {
		t.Errorf("fault %v, want timeout", r.Fault)
	}
	if r := w.Ask("next.example.", plenty); r.Fault != transport.FaultNone {
		t.Errorf("the query after it: %v", r.Fault)
	}
	<-reset
	if s := w.Lane.Stats(); s.Cancelled != 1 || s.Dials != 1 {
		t.Errorf("cancelled %d, dials %d; want 1, 1", s.Cancelled, s.Dials)
	}
}
