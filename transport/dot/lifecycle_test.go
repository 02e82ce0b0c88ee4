package dot

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestNoConnection has nobody there, or somebody with the wrong papers.
func TestNoConnection(t *testing.T) {
	mine, other := lanetest.NewAuthority(t), lanetest.NewAuthority(t)
	name := lanetest.ServerName
	for _, test := range []struct {
		name   string
		server *tls.Config // nil: nobody listens
		client *tls.Config
		want   transport.Fault
		cause  transport.Cause
	}{
		{"refused tcp", nil, nil, transport.FaultDial, transport.CauseRefused},
		{"refused tls", nil, mine.Client(name), transport.FaultDial, transport.CauseRefused},
		{"unknown authority", other.Server(name, time.Hour), mine.Client(name), transport.FaultTLS, transport.CauseUnknownAuthority},
		{"expired", mine.Server(name, -time.Hour), mine.Client(name), transport.FaultTLS, transport.CauseExpired},
		{"wrong name", mine.Server("other.example", time.Hour), mine.Client(name), transport.FaultTLS, transport.CauseWrongName},
		{"wrong protocol", mine.Server(name, time.Hour, "h2"), mine.Client(name), transport.FaultTLS, transport.CauseALPN},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := serve(t, test.server, honest)
			if test.server == nil {
				s.stop()
			}
			health := new(lanetest.Health)
			w := lanetest.Open(t, s.endpoint(test.client, health), Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != test.want {
				t.Errorf("fault %v, want %v", r.Fault, test.want)
			}
			var dial *transport.DialError
			lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
			if !errors.As(health.Downs()[0], &dial) || dial.Cause != test.cause || dial.Address != s.addr {
				t.Errorf("down: %v, want cause %q at %v", health.Downs()[0], test.cause, s.addr)
			}
			if health.Ups() != 0 {
				t.Errorf("up %d times, want never", health.Ups())
			}
		})
	}
}

// TestBackoff has an upstream that refuses: queries fail at once, and dials are few.
func TestBackoff(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, honest)
	s.stop()
	w := lanetest.Open(t, s.endpoint(nil, nil), Run, transport.LaneLimits{})
	const queries = 1000
	for i := range queries {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultDial {
			t.Fatalf("query %d: fault %v, want dial", i, r.Fault)
		}
	}
	if got := w.Lane.Stats(); got.Dials > queries/10 {
		t.Errorf("%d dials for %d queries, want few", got.Dials, queries)
	}
}

// TestHangsUpAtOnce has a server that accepts and closes: that must not become a storm of connections.
func TestHangsUpAtOnce(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, func(*server, net.Conn) {})
	e := s.endpoint(nil, nil)
	e.Prewarm = true
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	begin := time.Now()
	const queries = 300
	for i := range queries {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault == transport.FaultNone {
			t.Fatal("answered by a server that says nothing")
		}
	}
	// From the third on, at least 37 ms (50 less a quarter) lie between attempts.
	if got, most := s.connections(), 3+int(time.Since(begin)/(37*time.Millisecond)); got > most {
		t.Errorf("%d connections, want at most %d", got, most)
	}
}

// TestFirstDialHolds has a handshake that takes its time: queries wait for it, and those whose deadline passes first do not.
func TestFirstDialHolds(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	cfg := authority.Server(lanetest.ServerName, time.Hour, "dot")
	release := make(chan struct{})
	s := serve(t, nil, func(s *server, conn net.Conn) {
		<-release
		secure := tls.Server(conn, cfg)
		honest(s, secure)
		secure.Close()
	})
	w := lanetest.Open(t, s.endpoint(authority.Client(lanetest.ServerName), nil), Run, transport.LaneLimits{})
	w.Submit("hasty.example.", 50*time.Millisecond)
	w.Submit("patient.example.", plenty)
	if r := w.Receive(1)[0]; r.Name != "hasty.example." || r.Fault != transport.FaultTimeout {
		t.Errorf("first reply: %s %v, want hasty.example. timeout", r.Name, r.Fault)
	}
	close(release)
	if r := w.Receive(1)[0]; r.Name != "patient.example." || r.Fault != transport.FaultNone {
		t.Errorf("second reply: %s %v, want patient.example. answered", r.Name, r.Fault)
	}
}

// TestAddressesInTurn has only the last of three addresses work, and remembers it.
func TestAddressesInTurn(t *testing.T) {
	lanetest.NoLeaks(t)
	dead := serve(t, nil, honest)
	dead.stop()
	s := serve(t, nil, func(_ *server, conn net.Conn) {
		if query := readFrame(conn); query != nil {
			_, _ = conn.Write(frame(lanetest.Answer(query)))
		}
	})
	e := s.endpoint(nil, nil)
	e.Addresses.Store([]netip.AddrPort{dead.addr, netip.MustParseAddrPort("127.0.0.1:0"), s.addr})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range 3 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v", i, r.Fault)
		}
	}
	if got := w.Lane.Stats(); got.DialErrors != 2 {
		t.Errorf("%d failed dials, want 2 before the first connection and none after", got.DialErrors)
	}
	e.Addresses.Store(nil)
	lanetest.Eventually(t, "no address left", func() bool { return w.Ask("none.example.", plenty).Fault == transport.FaultDial })
}

// TestKillAndRestart takes the server away with queries outstanding and brings it back on the same port.
func TestKillAndRestart(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		var mute atomic.Bool
		handle := func(s *server, conn net.Conn) {
			if mute.Load() {
				silent(s, conn)
				return
			}
			honest(s, conn)
		}
		mute.Store(true)
		s := serve(t, cfg, handle)
		health := new(lanetest.Health)
		w := lanetest.Open(t, s.endpoint(client, health), Run, transport.LaneLimits{})
		w.Submit("during.example.", plenty)
		lanetest.Eventually(t, "query sent", func() bool { return w.Lane.Stats().BytesSent > 0 })
		s.stop()
		if r := w.Receive(1)[0]; r.Fault != transport.FaultClosed {
			t.Errorf("during: fault %v, want closed", r.Fault)
		}
		lanetest.Eventually(t, "down", func() bool {
			w.Ask("gone.example.", plenty)
			return len(health.Downs()) > 0
		})
		mute.Store(false)
		again := &server{t: t, conns: map[net.Conn]bool{}}
		again.listen(s.addr.String(), cfg, handle)
		t.Cleanup(again.stop)
		lanetest.Eventually(t, "an answer after the restart", func() bool {
			return w.Ask("after.example.", plenty).Fault == transport.FaultNone
		})
	})
}

// TestIdle has connections closed when nobody needs them, by us and by the server, without anybody calling that a failure.
func TestIdle(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, test := range []struct {
			name    string
			idle    time.Duration
			prewarm bool
			handle  func(s *server, conn net.Conn)
		}{
			{"closed by us", 30 * time.Millisecond, false, honest},
			{"closed by the server", time.Minute, false, func(_ *server, conn net.Conn) {
				if query := readFrame(conn); query != nil {
					_, _ = conn.Write(frame(lanetest.Answer(query)))
				}
			}},
		} {
			t.Run(test.name, func(t *testing.T) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, test.handle)
				health := new(lanetest.Health)
				e := s.endpoint(client, health)
				e.IdleTimeout = test.idle
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				for i := range 3 {
					if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
						t.Fatalf("query %d: fault %v", i, r.Fault)
					}
					lanetest.Eventually(t, "connection closed", func() bool { return w.Lane.Stats().Open == 0 })
				}
				if downs := health.Downs(); len(downs) != 0 || s.connections() != 3 {
					t.Errorf("%d connections, down %v; want 3 and never down", s.connections(), downs)
				}
			})
		}
	})
}

// TestPrewarm wants a connection before the first query, kept though idle, and replaced when the server closes it.
func TestPrewarm(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, honest)
	health := new(lanetest.Health)
	e := s.endpoint(nil, health)
	e.Prewarm, e.IdleTimeout = true, 10*time.Millisecond
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	lanetest.Eventually(t, "connected", func() bool { return w.Lane.Stats().Open == 1 && health.Ups() > 0 })
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("fault %v", r.Fault)
	}
	time.Sleep(5 * e.IdleTimeout)
	if got := s.connections(); got != 1 {
		t.Errorf("%d connections after idling, want the first one kept", got)
	}
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	lanetest.Eventually(t, "connected again", func() bool { return s.connections() == 2 && w.Lane.Stats().Open == 1 })
}

// TestShutdownWithQueriesOutstanding closes the lane in every state that a query can be in.
func TestShutdownWithQueriesOutstanding(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle func(s *server, conn net.Conn)
		tls    bool
	}{
		{"sent", silent, false},
		{"sent over tls", silent, true},
		{"handshake under way", silent, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			authority := lanetest.NewAuthority(t)
			var cfg, client *tls.Config
			if test.tls {
				cfg = authority.Server(lanetest.ServerName, time.Hour)
			}
			if test.tls || test.name == "handshake under way" {
				client = authority.Client(lanetest.ServerName)
			}
			s := serve(t, cfg, test.handle)
			w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
			const queries = 200
			for i := range queries {
				w.Submit(lanetest.Name(i), plenty)
			}
			lanetest.Eventually(t, "connected", func() bool { return s.connections() > 0 })
			w.Close()
			if got := w.Lane.Stats().Failed[transport.FaultShutdown]; got != queries {
				t.Errorf("%d queries failed by the shutdown, want %d; stats %+v", got, queries, w.Lane.Stats())
			}
		})
	}
}

// TestGrowsWithLoad wants a second connection only when the first is busy.
func TestGrowsWithLoad(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, silent)
	e := s.endpoint(nil, nil)
	e.Conns = 3
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	ask := func(n int) {
		for i := range n {
			w.Submit(lanetest.Name(i), plenty)
		}
	}
	ask(growOutstanding / 2)
	lanetest.Eventually(t, "first connection", func() bool { return w.Lane.Stats().BytesSent > 0 })
	if got := w.Lane.Stats().Open; got != 1 {
		t.Errorf("%d connections for %d queries, want 1", got, growOutstanding/2)
	}
	for range 20 {
		ask(growOutstanding)
		time.Sleep(time.Millisecond)
	}
	lanetest.Eventually(t, "all connections", func() bool { ask(1); return w.Lane.Stats().Open == 3 })
}
