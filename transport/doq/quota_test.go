package doq

import (
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestReplacedAfterMaxQueries keeps a load on connections that are replaced every hundred queries: no query fails or is sent twice, and every
// connection but the last is closed in order.
func TestReplacedAfterMaxQueries(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, health := start(t, nil, honest)
	e.MaxQueries, e.DeadAfter = 100, 2*time.Second
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := 0; w.Lane.Stats().Retired[transport.RetiredQueries] < 3; i++ {
		if i == 100_000 {
			t.Fatalf("never replaced: %+v", w.Lane.Stats())
		}
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: %v", i, r.Fault)
		}
	}
	got := w.Lane.Stats()
	if got.Retried != 0 || got.Stalled != 0 || len(health.Downs()) != 0 || got.Dials < 4 {
		t.Errorf("%+v, downs %v; want only replacements", got, health.Downs())
	}
	s.mu.Lock()
	first := s.conns[0]
	s.mu.Unlock()
	<-first.Context().Done()
	if !closedByClient(first, codeNoError) {
		t.Error("the first connection was not closed with DOQ_NO_ERROR")
	}
}

// TestReplacedAtMaxAge replaces a connection that is kept without queries, and leaves one alone that nobody needs.
func TestReplacedAtMaxAge(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(map[bool]string{true: "kept", false: "not needed"}[kept], func(t *testing.T) {
			lanetest.NoLeaks(t)
			_, e, _ := start(t, nil, honest)
			e.MaxAge, e.Prewarm, e.IdleTimeout = 50*time.Millisecond, kept, 400*time.Millisecond
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
				t.Fatal(r.Fault)
			}
			if kept {
				lanetest.Eventually(t, "three replacements", func() bool { return w.Lane.Stats().Retired[transport.RetiredAge] >= 3 })
				return
			}
			lanetest.Eventually(t, "the idle connection closed", func() bool { return w.Lane.Stats().Open == 0 })
			if got := w.Lane.Stats(); got.Retired[transport.RetiredIdle] != 1 || got.Dials > 2 {
				t.Errorf("%+v; want one connection closed for idling", got)
			}
		})
	}
}

// TestQueriesOutliveTheQuota has a query outstanding on a connection when it is replaced: it is answered there.
func TestQueriesOutliveTheQuota(t *testing.T) {
	lanetest.NoLeaks(t)
	release := make(chan struct{})
	_, e, _ := start(t, nil, func(x *served) {
		if x.query[13] == 's' { // slow
			<-release
		}
		honest(x)
	})
	e.MaxQueries = 10
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	w.Submit("slow.example.", time.Hour)
	for i := 0; w.Lane.Stats().Retired[transport.RetiredQueries] == 0 && i < 100_000; i++ {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatal(r.Fault)
		}
	}
	close(release)
	if r := w.Receive(1)[0]; r.Fault != transport.FaultNone || w.Lane.Stats().Retried != 0 {
		t.Errorf("the old query: %v, %d sent again", r.Fault, w.Lane.Stats().Retried)
	}
}

// closedByClient reports whether the client closed conn with code.
func closedByClient(conn *quic.Conn, code quic.ApplicationErrorCode) bool {
	_, err := conn.OpenStream()
	closed, ok := err.(*quic.ApplicationError)
	return ok && closed.Remote && closed.ErrorCode == code
}
