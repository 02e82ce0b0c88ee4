package dot

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// announcing is the answer to query with the server's idle timeout in units of 100 ms; negative: without.
func announcing(query []byte, timeout int) []byte {
	m := new(dns.Msg)
	if err := m.Unpack(query); err != nil {
		panic(err)
	}
	reply := lanetest.Reply(m).SetEdns0(1232, false)
	if timeout >= 0 {
		value := binary.BigEndian.AppendUint16(nil, uint16(timeout)) // miekg/dns would leave a timeout of 0 out
		reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: value}}
	}
	b, err := reply.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// announcer answers every query with an idle timeout.
func announcer(timeout int) func(*server, net.Conn) {
	return func(_ *server, conn net.Conn) {
		for query := readFrame(conn); query != nil; query = readFrame(conn) {
			if _, err := conn.Write(frame(announcing(query, timeout))); err != nil {
				return
			}
		}
	}
}

// TestAsksForKeepalive: the queries of a connection carry the empty option of RFC 7828 §3.2.1 until the first answer, the others do not.
func TestAsksForKeepalive(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, asks := range []bool{true, false} {
			lanetest.NoLeaks(t)
			var mu sync.Mutex
			var options []string // of each query, "new" for a connection
			s := serve(t, cfg, func(_ *server, conn net.Conn) {
				mu.Lock()
				options = append(options, "new")
				mu.Unlock()
				for range 3 {
					query := readFrame(conn)
					if query == nil {
						return
					}
					m := new(dns.Msg)
					if err := m.Unpack(query); err != nil {
						t.Error(err)
						return
					}
					kind := "none"
					for _, o := range m.IsEdns0().Option {
						if k, ok := o.(*dns.EDNS0_TCP_KEEPALIVE); ok && k.Timeout == 0 {
							kind = "asks"
						} else {
							t.Errorf("option %v", o)
						}
					}
					mu.Lock()
					options = append(options, kind)
					mu.Unlock()
					_, _ = conn.Write(frame(lanetest.Answer(query)))
				}
			})
			e := s.endpoint(client, nil)
			e.AskKeepalive = asks
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			for i := range 6 {
				if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
					t.Fatalf("query %d: fault %v", i, r.Fault)
				}
			}
			first := "none"
			if asks {
				first = "asks"
			}
			want := []string{"new", first, "none", "none", "new", first, "none", "none"}
			mu.Lock()
			if len(options) != len(want) {
				t.Fatalf("asks %t: saw %v, want %v", asks, options, want)
			}
			for i := range want {
				if options[i] != want[i] {
					t.Errorf("asks %t: saw %v, want %v", asks, options, want)
					break
				}
			}
			mu.Unlock()
		}
	})
}

// TestShorterIdleTimeoutCounts: of the server's and ours; a kept connection ends too, and stays away where it would be renewed all the time.
func TestShorterIdleTimeoutCounts(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, test := range []struct {
			name    string
			ours    time.Duration
			theirs  int // 100 ms
			prewarm bool
			want    transport.Retirement
		}{
			{"the server's", time.Minute, 1, false, transport.RetiredKeepalive},
			{"ours", 50 * time.Millisecond, 600, false, transport.RetiredIdle},
			{"none announced", 50 * time.Millisecond, -1, false, transport.RetiredIdle},
			{"the server's, of a kept connection", time.Minute, 1, true, transport.RetiredKeepalive},
		} {
			t.Run(test.name, func(t *testing.T) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, announcer(test.theirs))
				health := new(lanetest.Health)
				e := s.endpoint(client, health)
				e.IdleTimeout, e.Prewarm = test.ours, test.prewarm
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				for i := 1; i <= 2; i++ {
					if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
						t.Fatalf("query %d: fault %v", i, r.Fault)
					}
					lanetest.Eventually(t, "idle close", func() bool { return w.Lane.Stats().Open == 0 })
					if got := w.Lane.Stats(); got.Retired[test.want] != uint64(i) || got.Dials != uint64(i) {
						t.Errorf("after query %d: %+v, want closed as %v and no connection for nobody", i, got, test.want)
					}
				}
				if downs := health.Downs(); len(downs) != 0 {
					t.Errorf("our own close was reported as down: %v", downs)
				}
			})
		}
	})
}

// TestLaterAnnouncementCounts: a server may change its mind, asked or not (RFC 7828 §3.3.2).
func TestLaterAnnouncementCounts(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, func(_ *server, conn net.Conn) {
		for _, timeout := range []int{-1, 6000, 1} {
			query := readFrame(conn)
			if query == nil {
				return
			}
			_, _ = conn.Write(frame(announcing(query, timeout)))
		}
		silent(nil, conn)
	})
	w := lanetest.Open(t, s.endpoint(nil, nil), Run, transport.LaneLimits{})
	for i := range 3 {
		w.Ask(lanetest.Name(i), plenty)
	}
	lanetest.Eventually(t, "closed", func() bool {
		got := w.Lane.Stats()
		return got.Open == 0 && got.Retired[transport.RetiredKeepalive] == 1
	})
}

// TestServerWantsToClose: a timeout of 0 ends a connection as soon as nothing is outstanding; new queries take another one meanwhile, also
// where a cap allows one only.
func TestServerWantsToClose(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		release := make(chan struct{})
		var once sync.Once
		s := serve(t, cfg, func(s *server, conn net.Conn) {
			first := false
			once.Do(func() { first = true })
			if !first {
				announcer(6000)(s, conn)
				return
			}
			early, late := readFrame(conn), readFrame(conn)
			if late == nil {
				return
			}
			_, _ = conn.Write(frame(announcing(early, 0)))
			<-release
			_, _ = conn.Write(frame(announcing(late, 0)))
			if readFrame(conn) != nil {
				t.Error("another query on a connection that the server wants closed")
			}
		})
		e, limit := s.endpoint(client, nil), transport.NewConnCap("the test")
		limit.Set(1)
		e.ConnCaps = new(transport.ConnCaps)
		e.ConnCaps.Store([]*transport.ConnCap{limit})
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		w.Burst([]string{"early.example.", "late.example."}, plenty)
		if r := w.Receive(1)[0]; r.Name != "early.example." || r.Fault != transport.FaultNone {
			t.Errorf("reply for %s, fault %v, want early.example. answered", r.Name, r.Fault)
		}
		lanetest.Eventually(t, "retired", func() bool { return w.Lane.Stats().Retired[transport.RetiredKeepalive] == 1 })
		if r := w.Ask("next.example.", plenty); r.Name != "next.example." || r.Fault != transport.FaultNone {
			t.Errorf("reply for %s, fault %v, want next.example. answered", r.Name, r.Fault)
		}
		if got := w.Lane.Stats(); got.Open != 2 {
			t.Errorf("%d connections, want the old one to be there until it owes nothing", got.Open)
		}
		close(release)
		if r := w.Receive(1)[0]; r.Name != "late.example." || r.Fault != transport.FaultNone {
			t.Errorf("reply for %s, fault %v, want late.example. answered", r.Name, r.Fault)
		}
		lanetest.Eventually(t, "closed", func() bool { return w.Lane.Stats().Open == 1 })
	})
}

// TestEveryAnswerWantsToClose: then every query has its connection, and all are answered.
func TestEveryAnswerWantsToClose(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		s := serve(t, cfg, announcer(0))
		health := new(lanetest.Health)
		e := s.endpoint(client, health)
		e.Prewarm = true
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		const queries = 20
		for i := range queries {
			if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
				t.Fatalf("query %d: fault %v; stats %+v", i, r.Fault, w.Lane.Stats())
			}
			lanetest.Eventually(t, "closed", func() bool { return w.Lane.Stats().Open == 0 })
		}
		if got := w.Lane.Stats(); got.Dials != queries || got.Retried != 0 || len(health.Downs()) != 0 {
			t.Errorf("stats %+v, down %v; want a connection for each query", got, health.Downs())
		}
	})
}
