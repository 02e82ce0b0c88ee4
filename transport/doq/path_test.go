package doq

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// behindRelay returns a server, an endpoint that reaches it through a relay, and the relay.
func behindRelay(t *testing.T, handle func(x *served)) (*server, *transport.Endpoint, *lanetest.Relay, *lanetest.Health) {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), nil, handle)
	relay := lanetest.NewRelay(t, s.addr)
	health := new(lanetest.Health)
	return s, lanetest.Endpoint(transport.QUIC, relay.Addr, authority.Client(lanetest.ServerName), health), relay, health
}

// TestPathLost loses the path of a connection with queries on it: another connection takes them over, long before the old one is given up,
// and nobody is told that the upstream is down.
func TestPathLost(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, relay, health := behindRelay(t, honest)
	e.DeadAfter = 4 * time.Second // it stalls after one
	notices := make(chan string, 10)
	e.Notice = func(event string, reason error) { notices <- fmt.Sprintf("%s: %v", event, reason) }
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	relay.Cut()
	const queries = 30
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
	}
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want answers only", got)
	}
	got := w.Lane.Stats()
	if got.Stalled != 1 || got.Retried != queries || got.Dead != 0 || s.accepted.Load() != 2 || relay.Clients() != 2 {
		t.Errorf("%+v, %d connections from %d ports; want one replaced, from another port, its queries sent again once", got, s.accepted.Load(), relay.Clients())
	}
	if downs := health.Downs(); len(downs) != 0 {
		t.Errorf("down: %v", downs)
	}
	want := fmt.Sprintf("connection to %s replaced, %d queries moved: nothing came from the server any more", relay.Addr, queries)
	if event := <-notices; event != want {
		t.Errorf("noticed %q, want %q", event, want)
	}
}

// TestPathBack has the path come back before another connection is up: the old one answers, and stays.
func TestPathBack(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, relay, _ := behindRelay(t, honest)
	e.DeadAfter = time.Hour // it never stalls
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	relay.Cut()
	for i := range 10 {
		w.Submit(lanetest.Name(i), plenty)
	}
	time.Sleep(50 * time.Millisecond)
	relay.Mend()
	if got := lanetest.Tally(w.Receive(10)); got[transport.FaultNone] != 10 {
		t.Errorf("replies %v, want answers only", got)
	}
	if got := w.Lane.Stats(); got.Dials != 1 || got.Retried != 0 {
		t.Errorf("%+v, want one connection and nothing sent twice", got)
	}
}

// TestPathMoves changes the port that the server sees, again and again, with queries on the way: the connection goes on.
func TestPathMoves(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, relay, _ := behindRelay(t, honest)
	e.DeadAfter = time.Hour
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	for round := range 3 {
		for i := range 10 {
			w.Submit(lanetest.Name(10*round+i), plenty)
		}
		relay.Move()
		if got := lanetest.Tally(w.Receive(10)); got[transport.FaultNone] != 10 {
			t.Errorf("move %d: replies %v, want answers only", round, got)
		}
	}
	if got := w.Lane.Stats(); got.Dials != 1 || s.accepted.Load() != 1 {
		t.Errorf("%+v, %d connections at the server; want one", got, s.accepted.Load())
	}
}

// TestServerGone ends the server for good: the kernel says so, and the queries do not wait for anything else.
func TestServerGone(t *testing.T) {
	lanetest.NoLeaks(t)
	var mute atomic.Bool
	s, e, health := start(t, nil, func(x *served) {
		if mute.Load() {
			<-x.stream.Context().Done()
			return
		}
		honest(x)
	})
	e.DeadAfter, e.QUIC.MaxIdle, e.QUIC.KeepAlive = time.Hour, time.Hour, time.Hour
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", time.Hour); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	mute.Store(true)
	w.Submit("during.example.", time.Hour)
	s.stop()
	w.Submit("after.example.", time.Hour)
	for _, r := range w.Receive(2) {
		if r.Fault != transport.FaultClosed && r.Fault != transport.FaultDial {
			t.Errorf("%s: %v, want closed or dial", r.Name, r.Fault)
		}
	}
	lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
}

// TestReplacementFails has the path lost and no other found: the old connection is used until it is dead, as it may come back.
func TestReplacementFails(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	limits := &quic.Config{}
	var closedDoor atomic.Bool
	limits.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) {
		if closedDoor.Load() {
			return nil, errStopped // any error refuses the connection
		}
		return nil, nil
	}
	s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), limits, honest)
	relay := lanetest.NewRelay(t, s.addr)
	e := lanetest.Endpoint(transport.QUIC, relay.Addr, authority.Client(lanetest.ServerName), nil)
	e.DeadAfter = 8 * time.Second // it stalls after two
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("before.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	closedDoor.Store(true)
	relay.Cut()
	w.Submit("during.example.", plenty)
	lanetest.Eventually(t, "a dial that fails", func() bool { return w.Lane.Stats().DialErrors > 0 })
	relay.Mend()
	if r := w.Receive(1)[0]; r.Fault != transport.FaultNone {
		t.Errorf("fault %v, want the old connection's answer", r.Fault)
	}
	if got := w.Lane.Stats(); got.Stalled != 0 || got.Retried != 0 {
		t.Errorf("%+v, want nothing replaced", got)
	}
}
