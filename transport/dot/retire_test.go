package dot

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// ledger is what a server has seen of each connection, in the order of their first query.
type ledger struct {
	mu    sync.Mutex
	conns []*account
}

type account struct {
	queries int
	end     error // of the stream; nil while it is open
}

// serve is a server's function: it answers honestly and keeps the books.
func (l *ledger) serve(_ *server, conn net.Conn) {
	a := new(account)
	end := func(err error) {
		l.mu.Lock()
		a.end = err
		l.mu.Unlock()
	}
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			end(err)
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			end(err)
			return
		}
		l.mu.Lock()
		if a.queries == 0 {
			l.conns = append(l.conns, a)
		}
		a.queries++
		l.mu.Unlock()
		if _, err := conn.Write(frame(lanetest.Answer(query))); err != nil {
			end(err)
			return
		}
	}
}

// copy returns the books as they are now.
func (l *ledger) copy() (all []account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.conns {
		all = append(all, *a)
	}
	return all
}

// TestReplacedAfterMaxQueries keeps a steady load on connections that are replaced every hundred queries: no query fails or is sent twice,
// no answer is lost, each connection takes its share, and each ends with a goodbye.
func TestReplacedAfterMaxQueries(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		books := new(ledger)
		s := serve(t, cfg, books.serve)
		e := s.endpoint(client, nil)
		e.MaxQueries = 100
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		const window, replacements = 20, 5
		load(t, w, window, func() bool { return w.Lane.Stats().Retired[transport.RetiredQueries] >= replacements })
		stats := w.Lane.Stats()
		if stats.Retried != 0 || stats.Unmatched != 0 || stats.Dead != 0 {
			t.Errorf("stats %+v, want nothing retried, unmatched or dead", stats)
		}
		lanetest.Eventually(t, "old connections closed", func() bool { return w.Lane.Stats().Open == 1 })
		lanetest.Eventually(t, "goodbyes", func() bool {
			ended := 0
			for _, a := range books.copy() {
				if a.end != nil {
					ended++
				}
			}
			return ended >= replacements
		})
		all := books.copy()
		for i, a := range all[:len(all)-1] {
			if a.queries < 75 {
				t.Errorf("connection %d was replaced after %d queries, want 75 at least", i, a.queries)
			}
			if a.end != nil && a.end != io.EOF {
				t.Errorf("connection %d ended with %v, want a goodbye", i, a.end)
			}
		}
	})
}

// load keeps window queries outstanding until enough; each must be answered.
func load(t *testing.T, w *lanetest.Worker, window int, enough func() bool) {
	t.Helper()
	sent, got := 0, 0
	for end := time.Now().Add(lanetest.Patience); !enough() || got < sent; {
		for sent-got < window && !enough() && w.Submit(lanetest.Name(sent), plenty) {
			sent++
		}
		if sent == got {
			continue
		}
		for _, r := range w.Receive(1) {
			if r.Fault != transport.FaultNone {
				t.Fatalf("%s: fault %v; stats %+v", r.Name, r.Fault, w.Lane.Stats())
			}
			got++
		}
		if time.Now().After(end) {
			t.Fatalf("%d queries were not enough; stats %+v", sent, w.Lane.Stats())
		}
	}
}

// TestOldConnectionFinishesWhatItOwes has an answer come long after its connection was replaced; meanwhile queries take the new one.
func TestOldConnectionFinishesWhatItOwes(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		var mu sync.Mutex
		release, first, on := make(chan struct{}), true, map[string]net.Conn{}
		s := serve(t, cfg, func(_ *server, conn net.Conn) {
			for query := readFrame(conn); query != nil; query = readFrame(conn) {
				m := new(dns.Msg)
				if err := m.Unpack(query); err != nil {
					t.Error(err)
				}
				mu.Lock()
				on[m.Question[0].Name] = conn
				hold := first
				first = false
				mu.Unlock()
				if hold {
					go func() {
						<-release
						_, _ = conn.Write(frame(lanetest.Answer(query)))
					}()
					continue
				}
				_, _ = conn.Write(frame(lanetest.Answer(query)))
			}
		})
		e := s.endpoint(client, nil)
		e.MaxQueries = 3 // a quarter of it is no query
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		w.Submit("slow.example.", plenty)
		for _, name := range []string{"a.example.", "b.example."} {
			if r := w.Ask(name, plenty); r.Name != name || r.Fault != transport.FaultNone {
				t.Fatalf("%s: reply for %s, fault %v", name, r.Name, r.Fault)
			}
		}
		lanetest.Eventually(t, "replaced", func() bool { return w.Lane.Stats().Retired[transport.RetiredQueries] == 1 })
		if r := w.Ask("next.example.", plenty); r.Name != "next.example." || r.Fault != transport.FaultNone {
			t.Errorf("next: reply for %s, fault %v", r.Name, r.Fault)
		}
		if got := w.Lane.Stats().Open; got != 2 {
			t.Errorf("%d connections open, want the old one and the new one", got)
		}
		close(release)
		if r := w.Receive(1)[0]; r.Name != "slow.example." || r.Fault != transport.FaultNone {
			t.Errorf("slow: reply for %s, fault %v", r.Name, r.Fault)
		}
		lanetest.Eventually(t, "old connection closed", func() bool { return w.Lane.Stats().Open == 1 })
		mu.Lock()
		defer mu.Unlock()
		if on["slow.example."] != on["b.example."] || on["slow.example."] == on["next.example."] {
			t.Error("the queries did not take the connections they should")
		}
	})
}

// TestNoSuccessorToBeHad: a connection whose successor cannot be dialed goes on.
func TestNoSuccessorToBeHad(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		s := serve(t, cfg, honest)
		health := new(lanetest.Health)
		e := s.endpoint(client, health)
		e.MaxQueries = 5
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		w.Ask("first.example.", plenty)
		s.mu.Lock()
		s.listener.Close()
		s.mu.Unlock()
		load(t, w, 4, func() bool { return w.Lane.Stats().DialErrors >= 3 })
		if got := w.Lane.Stats(); got.Open != 1 || got.Retired != [transport.RetirementCount]uint64{} || len(health.Downs()) != 0 {
			t.Errorf("stats %+v, down %v; want the one connection in use and nobody down", got, health.Downs())
		}
	})
}

// TestReplacedAtMaxAge: by age, under load and, where one is kept, without; but not for nobody.
func TestReplacedAtMaxAge(t *testing.T) {
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, test := range []struct {
			name          string
			prewarm, load bool
		}{{"in use", false, true}, {"kept", true, false}, {"idle", false, false}} {
			t.Run(test.name, func(t *testing.T) {
				lanetest.NoLeaks(t)
				s := serve(t, cfg, honest)
				e := s.endpoint(client, nil)
				e.MaxAge, e.Prewarm, e.IdleTimeout = 30*time.Millisecond, test.prewarm, 500*time.Millisecond
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				aged := func() uint64 { return w.Lane.Stats().Retired[transport.RetiredAge] }
				switch {
				case test.load:
					load(t, w, 1, func() bool { return aged() >= 3 })
				case test.prewarm:
					lanetest.Eventually(t, "three replacements", func() bool { return aged() >= 3 })
				default:
					w.Ask("example.", plenty)
					lanetest.Eventually(t, "idle close", func() bool { return w.Lane.Stats().Open == 0 })
					// The query itself may have taken so long that its connection grew old under it.
					if got := w.Lane.Stats(); got.Dials > 2 || got.Retired[transport.RetiredIdle] != 1 {
						t.Errorf("stats %+v, want one idle close, and no replacement for nobody", got)
					}
				}
				if got := w.Lane.Stats(); got.Retried != 0 || got.Failed != [transport.FaultCount]uint64{} {
					t.Errorf("stats %+v, want nothing retried or failed", got)
				}
			})
		}
	})
}

// TestTinyMaxAge: connections that are kept for nobody are not replaced as fast as handshakes go.
func TestTinyMaxAge(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, honest)
	e := s.endpoint(nil, nil)
	e.MaxAge, e.Prewarm = time.Millisecond, true
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	lanetest.Eventually(t, "replaced", func() bool { return w.Lane.Stats().Retired[transport.RetiredAge] >= 3 })
	time.Sleep(time.Second)
	if got := w.Lane.Stats(); got.Dials > 20 {
		t.Errorf("%d dials in little more than a second", got.Dials)
	}
}

// TestRetiredAreBounded has one query in three stay without an answer, so that every connection has to be kept when it has done its share.
func TestRetiredAreBounded(t *testing.T) {
	lanetest.NoLeaks(t)
	s := serve(t, nil, func(_ *server, conn net.Conn) {
		for i := 0; ; i++ {
			query := readFrame(conn)
			if query == nil {
				return
			}
			if i%3 != 0 {
				_, _ = conn.Write(frame(lanetest.Answer(query)))
			}
		}
	})
	e := s.endpoint(nil, nil)
	e.MaxQueries, e.DeadAfter = 3, time.Minute
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	// Enough for more retired connections than there may be, and then as many again, on the last one.
	for i := range 6 * retiredMax {
		w.Submit(lanetest.Name(i), plenty)
		lanetest.Eventually(t, "query sent", func() bool { return w.Lane.Stats().BytesSent >= uint64(i+1)*30 })
		if i%3 == 2 {
			lanetest.Eventually(t, "replaced", func() bool {
				got := w.Lane.Stats()
				return got.Retired[transport.RetiredQueries] == uint64(min(i/3+1, retiredMax)) || got.Open > int64(retiredMax)
			})
		}
		if got := w.Lane.Stats().Open; got > retiredMax+1 {
			t.Fatalf("%d connections, want at most %d", got, retiredMax+1)
		}
	}
	if got := w.Lane.Stats().Retired[transport.RetiredQueries]; got != retiredMax {
		t.Errorf("%d connections retired, want %d", got, retiredMax)
	}
}
