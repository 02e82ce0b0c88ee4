package dot

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// The servers of this file do what a server may, or should not: over TCP and over TLS no query is stuck, nothing leaks, and nobody waits for
// a query that is not his own.

// TestServerThatClosesAfterThree has the server hang up after every third answer: nothing is lost as long as queries come one by one.
func TestServerThatClosesAfterThree(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		s := serve(t, cfg, closingAfter(3))
		health := new(lanetest.Health)
		w := lanetest.Open(t, s.endpoint(client, health), Run, transport.LaneLimits{})
		for i := range 30 {
			if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
				t.Fatalf("query %d: fault %v, want an answer; stats %+v", i, r.Fault, w.Lane.Stats())
			}
		}
		if got := s.connections(); got < 10 {
			t.Errorf("%d connections for 30 queries at 3 each, want at least 10", got)
		}
		if downs := health.Downs(); len(downs) != 0 {
			t.Errorf("an orderly close was reported as down: %v", downs)
		}
	})
}

// TestServerThatClosesAfterEach100Queries closes with queries under way. Those that the closed connection has not answered come first on the
// next one, so that none is caught twice: all are answered. Replacing connections in time makes most of that unnecessary.
func TestServerThatClosesAfterEach100Queries(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, limit := range []int{0, 100} {
			lanetest.NoLeaks(t)
			s := serve(t, cfg, closingAfter(100))
			health := new(lanetest.Health)
			e := s.endpoint(client, health)
			e.MaxQueries = limit
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			load(t, w, 50, func() bool { return s.connections() >= 20 })
			if downs := health.Downs(); len(downs) != 0 {
				t.Errorf("limit %d: an orderly close was reported as down: %v", limit, downs)
			}
			if got := w.Lane.Stats(); limit == 0 && got.Retried == 0 || got.Failed != [transport.FaultCount]uint64{} {
				t.Errorf("limit %d: stats %+v, want no failure", limit, got)
			}
			w.Close()
		}
	})
}

// TestServerThatNeverAnswersOneIn50: the one times out at its deadline, and neither the others nor its id suffer.
func TestServerThatNeverAnswersOneIn50(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		ignored := make(chan string, 100)
		s := serve(t, cfg, func(_ *server, conn net.Conn) {
			for i := 0; ; i++ {
				query := readFrame(conn)
				if query == nil {
					return
				}
				if i%50 == 49 {
					m := new(dns.Msg)
					if err := m.Unpack(query); err != nil {
						t.Error(err)
						return
					}
					ignored <- m.Question[0].Name
					continue
				}
				if _, err := conn.Write(frame(lanetest.Answer(query))); err != nil {
					return
				}
			}
		})
		w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
		const queries = 500
		w.Burst(lanetest.Names(queries), 2*time.Second)
		faults := map[string]transport.Fault{}
		for i, r := range w.Receive(queries) {
			faults[r.Name] = r.Fault
			// Nobody waits behind one that is not answered: all answers come before the first deadline.
			if want := i >= queries-queries/50; want != (r.Fault == transport.FaultTimeout) {
				t.Errorf("reply %d, %s: fault %v", i, r.Name, r.Fault)
			}
		}
		for range queries / 50 {
			if name := <-ignored; faults[name] != transport.FaultTimeout {
				t.Errorf("%s was ignored: fault %v, want timeout", name, faults[name])
			}
		}
		if r := w.Ask("after.example.", plenty); r.Fault != transport.FaultNone {
			t.Errorf("afterwards: fault %v", r.Fault)
		}
		if stats := w.Lane.Stats(); stats.Dials != 1 || stats.Open != 1 {
			t.Errorf("stats %+v, want the one connection kept", stats)
		}
	})
}

// TestServerThatAnswersOutOfOrder has 10,000 queries answered in a random order, in blocks, over one and over four connections.
func TestServerThatAnswersOutOfOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		const total, window = 10000, 2000
		s := serve(t, cfg, shuffling)
		for _, conns := range []int{1, 4} {
			e := s.endpoint(client, nil)
			e.Conns = conns
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			sent, got := 0, 0
			for got < total {
				for sent < total && sent-got < window && w.Submit(lanetest.Name(sent), plenty) {
					sent++
				}
				for _, r := range w.Receive(1) {
					if r.Fault != transport.FaultNone {
						t.Fatalf("%d connections: %s: fault %v", conns, r.Name, r.Fault)
					}
					got++
				}
			}
			if stats := w.Lane.Stats(); stats.Unmatched != 0 || stats.Mismatched != 0 || int(stats.Open) > conns {
				t.Errorf("%d connections: stats %+v", conns, stats)
			}
			w.Close()
		}
	})
}

// shuffling gathers what has come and answers it in random order in one write.
func shuffling(_ *server, conn net.Conn) {
	queries := make(chan []byte, 4096)
	go func() {
		for query := readFrame(conn); query != nil; query = readFrame(conn) {
			queries <- query
		}
		close(queries)
	}()
	for query := range queries {
		batch := [][]byte{lanetest.Answer(query)}
		for more := true; more && len(batch) < 500; {
			select {
			case query, ok := <-queries:
				if more = ok; ok {
					batch = append(batch, lanetest.Answer(query))
				}
			default:
				more = false
			}
		}
		rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		if _, err := conn.Write(frame(batch...)); err != nil {
			conn.Close()
		}
	}
}

// TestServerThatSwapsAnswers puts the id of one query on the answer to another: both fail at once, neither gets what it did not ask for.
func TestServerThatSwapsAnswers(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		s := serve(t, cfg, func(_ *server, conn net.Conn) {
			first, second := readFrame(conn), readFrame(conn)
			if second == nil {
				return
			}
			a, b := lanetest.Answer(first), lanetest.Answer(second)
			a[0], a[1], b[0], b[1] = b[0], b[1], a[0], a[1]
			_, _ = conn.Write(frame(a, b))
			honest(nil, conn)
		})
		w := lanetest.Open(t, s.endpoint(client, nil), Run, transport.LaneLimits{})
		w.Burst([]string{"first.example.", "second.example."}, plenty)
		if got := lanetest.Tally(w.Receive(2)); got[transport.FaultProtocol] != 2 {
			t.Errorf("replies %v, want 2 × protocol", got)
		}
		if r := w.Ask("after.example.", plenty); r.Fault != transport.FaultNone || w.Lane.Stats().Mismatched != 2 {
			t.Errorf("afterwards: fault %v, stats %+v", r.Fault, w.Lane.Stats())
		}
	})
}

// TestServerThatStopsReading has servers that fall silent, in three ways: it is noticed after DeadAfter though new queries keep coming, all of
// them get a reply, and the next connection may be better.
func TestServerThatStopsReading(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle func(s *server, conn net.Conn)
	}{
		{"reads only", silent},
		{"does not even read", func(_ *server, conn net.Conn) {
			if secure, ok := conn.(*tls.Conn); ok {
				if secure.Handshake() != nil {
					return
				}
				conn = secure.NetConn()
			}
			tcp := conn.(*net.TCPConn)
			_ = tcp.SetReadBuffer(4096)
			raw, err := tcp.SyscallConn()
			if err != nil {
				return
			}
			// Until the other side has closed: a read would take bytes, so look at the state instead.
			for range 2000 {
				if gone(raw) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}},
		{"stops after ten", func(_ *server, conn net.Conn) {
			for range 10 {
				if query := readFrame(conn); query != nil {
					_, _ = conn.Write(frame(lanetest.Answer(query)))
				}
			}
			silent(nil, conn)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, test.handle)
				health := new(lanetest.Health)
				e := s.endpoint(client, health)
				e.DeadAfter = 200 * time.Millisecond
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				sent := 0
				for w.Lane.Stats().Dead == 0 {
					if sent < 4000 && w.Submit(lanetest.Name(sent), plenty) {
						sent++
					}
					if sent > 10 {
						time.Sleep(50 * time.Microsecond)
					}
				}
				tally := lanetest.Tally(w.Receive(sent))
				if tally[transport.FaultClosed] == 0 || tally[transport.FaultTimeout] != 0 {
					t.Errorf("replies %v, want closed ones and nobody to have waited for his deadline", tally)
				}
				lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
				if reason := health.Downs()[0].Error(); !strings.Contains(reason, s.addr.String()) || !strings.Contains(reason, "no answer") {
					t.Errorf("reason %q names not both the address and the cause", reason)
				}
			})
		})
	}
}
