package doq

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestOneStream has the server allow one stream at a time: queries wait their turn, and cost no goroutine each.
func TestOneStream(t *testing.T) {
	lanetest.NoLeaks(t)
	release := make(chan struct{})
	var now, most atomic.Int32
	_, e, _ := start(t, &quic.Config{MaxIncomingStreams: 1}, func(x *served) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		now.Add(-1)
		honest(x)
	})
	e.DeadAfter = time.Hour
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries = 100
	w.Submit(lanetest.Name(0), time.Hour)
	lanetest.Eventually(t, "the first query", func() bool { return now.Load() == 1 })
	before := runtime.NumGoroutine()
	for i := range queries - 1 {
		w.Submit(lanetest.Name(i+1), time.Hour)
	}
	time.Sleep(50 * time.Millisecond) // time to do it wrong
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d goroutines more for %d queries that wait", more, queries-1)
	}
	close(release)
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want answers only", got)
	}
	if most.Load() != 1 || w.Lane.Stats().Dials != 1 {
		t.Errorf("%d streams at a time, %d connections; want one", most.Load(), w.Lane.Stats().Dials)
	}
}

// TestBurst has many more queries come at once than may have a stream at a time: they wait, none is turned away, and the streams that end go to
// them.
func TestBurst(t *testing.T) {
	lanetest.NoLeaks(t)
	const streams, queries = 16, 2500
	var now, most atomic.Int32
	_, e, _ := start(t, nil, func(x *served) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		now.Add(-1) // before the answer, which makes way for the next
		honest(x)
	})
	e.QUIC.Streams, e.DeadAfter = streams, time.Hour
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range queries {
		w.Submit(lanetest.Name(i), time.Hour)
	}
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want answers only", got)
	}
	if most.Load() > streams+1 {
		t.Errorf("%d streams at a time, want at most %d", most.Load(), streams)
	}
}

// TestHopeless has more queries wait for the one stream than can have it before their deadlines: those fail before that, to be asked elsewhere.
func TestHopeless(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, health := start(t, &quic.Config{MaxIncomingStreams: 1}, func(x *served) {
		time.Sleep(100 * time.Millisecond)
		honest(x)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	w.Submit("first.example.", plenty)
	w.Submit("second.example.", plenty)
	w.Receive(2) // now it is known how long a turn takes
	const queries, deadline = 200, 3 * time.Second
	for i := range queries {
		w.Submit(lanetest.Name(i), deadline)
	}
	full := lanetest.Tally(w.Receive(queries))[transport.FaultFull]
	if full < queries/2 {
		t.Errorf("%d of %d failed as hopeless; a stream takes 100 ms, so at most 30 can be answered", full, queries)
	}
	if len(health.Downs()) != 0 {
		t.Errorf("down: %v", health.Downs())
	}
}

// TestLoss loses one packet of a long answer, the first or one in its midst, so that the end of its stream comes before: it is answered when the
// packet has been sent again, and others are answered meanwhile.
func TestLoss(t *testing.T) {
	for _, which := range []int32{1, 3} {
		t.Run(fmt.Sprint(which), func(t *testing.T) {
			lanetest.NoLeaks(t)
			authority := lanetest.NewAuthority(t)
			var armed atomic.Bool
			var long, lost atomic.Int32
			s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), nil, func(x *served) {
				if x.query[13] == 'l' { // long
					armed.Store(true)
					x.answer(padded(t, x.query, 6000))
					return
				}
				honest(x)
			})
			relay := lanetest.NewRelay(t, s.addr)
			relay.Lose(func(datagram []byte) bool {
				if armed.Load() && len(datagram) > 1000 && long.Add(1) == which {
					lost.Add(1)
					return true
				}
				return false
			})
			e := lanetest.Endpoint(transport.QUIC, relay.Addr, authority.Client(lanetest.ServerName), nil)
			e.QUIC.KeepAlive = -1
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("first.example.", plenty); r.Fault != transport.FaultNone {
				t.Fatal(r.Fault)
			}
			w.Submit("long.example.", plenty)
			for i := range 20 {
				w.Submit(lanetest.Name(i), plenty)
			}
			if got := lanetest.Tally(w.Receive(21)); got[transport.FaultNone] != 21 {
				t.Errorf("replies %v, want answers only", got)
			}
			if lost.Load() != 1 {
				t.Errorf("%d packets lost, want 1: the test shows nothing", lost.Load())
			}
		})
	}
}
