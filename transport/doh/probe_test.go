package doh

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

const (
	noticeWorks = "HTTP/3 works and is used"
	noticeFails = "HTTP/3 does not work, HTTP/2 is used"
)

// overThree asks until a query was answered over HTTP/3; every query must be answered.
func overThree(t *testing.T, w *lanetest.Worker, v *versions) {
	t.Helper()
	before, i := v.three.Load(), 0
	lanetest.Eventually(t, "a query over HTTP/3", func() bool {
		i++
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v", i, r.Fault)
		}
		return v.three.Load() > before
	})
}

// TestProbeChangesOver: the first queries go over HTTP/2, and as soon as HTTP/3 is found to work all do, without one being lost.
func TestProbeChangesOver(t *testing.T) {
	lanetest.NoLeaks(t)
	var v versions
	s := startBoth(t, v.honest)
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	if r := w.Ask("first.example.", plenty); r.Fault != transport.FaultNone || v.two.Load() != 1 {
		t.Fatalf("first query: fault %v, %d over HTTP/2", r.Fault, v.two.Load())
	}
	overThree(t, w, &v)
	two := v.two.Load()
	for i := range 200 {
		w.Submit(lanetest.Name(i), plenty)
	}
	if got := lanetest.Tally(w.Receive(200)); got[transport.FaultNone] != 200 || v.two.Load() != two {
		t.Errorf("replies %v, %d over HTTP/2; want 200 over HTTP/3", got, v.two.Load()-two)
	}
	lanetest.Eventually(t, "one connection, over HTTP/3", func() bool { return w.Lane.Stats().Open == 1 && w.Lane.Stats().OpenHTTP3 == 1 })
	if !slices.Equal(s.notices.list, []string{noticeWorks}) || len(s.health.Downs()) != 0 {
		t.Errorf("notices %q, down %v", s.notices.list, s.health.Downs())
	}
}

// TestProbeWithoutUDP has nobody answer over UDP: all queries are answered over HTTP/2, and HTTP/3 is given up for a while.
func TestProbeWithoutUDP(t *testing.T) {
	lanetest.NoLeaks(t)
	var v versions
	s := startBoth(t, v.honest)
	s.path.cut.Store(true)
	s.end.DialTimeout = 500 * time.Millisecond
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	lanetest.Eventually(t, "HTTP/3 given up", func() bool {
		if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
			t.Fatalf("fault %v", r.Fault)
		}
		return w.Lane.Stats().HTTP3Failures == 1
	})
	for i := range 100 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d: fault %v", i, r.Fault)
		}
	}
	if got := w.Lane.Stats(); v.three.Load() != 0 || got.HTTP3Failures != 1 || got.Dials != 1 || !slices.Equal(s.notices.list, []string{noticeFails}) {
		t.Errorf("%d over HTTP/3, stats %+v, notices %q", v.three.Load(), got, s.notices.list)
	}
}

// TestProbePathBreaks cuts UDP while HTTP/3 is in use: the queries that were under way fail so that the worker can send them again, and from
// then on all are answered, over HTTP/2.
func TestProbePathBreaks(t *testing.T) {
	lanetest.NoLeaks(t)
	var v versions
	s := startBoth(t, v.honest)
	s.end.DeadAfter = 300 * time.Millisecond
	w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
	overThree(t, w, &v)
	s.path.cut.Store(true)
	if r := w.Ask("under-way.example.", plenty); r.Fault != transport.FaultClosed {
		t.Errorf("query under way: fault %v, want %v, which the worker answers by sending it again", r.Fault, transport.FaultClosed)
	}
	two := v.two.Load()
	for i := range 100 {
		if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
			t.Fatalf("query %d after the break: fault %v", i, r.Fault)
		}
	}
	if got := w.Lane.Stats(); v.two.Load() != two+100 || got.HTTP3Failures != 1 || !slices.Equal(s.notices.list, []string{noticeWorks, noticeFails}) {
		t.Errorf("%d over HTTP/2, stats %+v, notices %q", v.two.Load()-two, got, s.notices.list)
	}
}

// TestRaceAfterIdle closes the HTTP/3 connection for want of queries. The next one goes over HTTP/3 at once, and if UDP was cut meanwhile,
// over HTTP/2 after the head start.
func TestRaceAfterIdle(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut %v", cut), func(t *testing.T) {
			lanetest.NoLeaks(t)
			var v versions
			s := startBoth(t, v.honest)
			s.end.IdleTimeout = 100 * time.Millisecond
			w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
			overThree(t, w, &v)
			lanetest.Eventually(t, "idle connections closed", func() bool { return w.Lane.Stats().Open == 0 && w.Lane.Stats().OpenHTTP3 == 0 })
			two, three := v.two.Load(), v.three.Load()
			s.path.cut.Store(cut)
			if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone {
				t.Fatalf("after the idle close: fault %v", r.Fault)
			}
			if got := (v.two.Load()-two == 1); got != cut || v.two.Load()+v.three.Load() != two+three+1 {
				t.Errorf("over HTTP/2: %v, want %v", got, cut)
			}
			if failures := w.Lane.Stats().HTTP3Failures; (failures == 1) != cut {
				t.Errorf("%d failures of HTTP/3", failures)
			}
		})
	}
}

// TestRFC7838Section3 has Alt-Svc name another port for HTTP/3, or say that there is none.
func TestRFC7838Section3(t *testing.T) {
	t.Run("port", func(t *testing.T) {
		lanetest.NoLeaks(t)
		var v versions
		var field atomic.Value
		handle := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Alt-Svc", field.Load().(string))
			v.honest(w, r)
		}
		elsewhere := startBoth(t, handle) // its HTTP/3 server is the one that Alt-Svc names
		field.Store(fmt.Sprintf(`h2="x:1", h3=":%d"; ma=60`, elsewhere.tcp.addr.Port()))
		silent, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		elsewhere.end.Port = silent.LocalAddr().(*net.UDPAddr).AddrPort().Port() // that of the URL, where no HTTP/3 is
		w := lanetest.Open(t, elsewhere.end, Run, transport.LaneLimits{})
		overThree(t, w, &v)
	})
	t.Run("clear", func(t *testing.T) {
		lanetest.NoLeaks(t)
		var v versions
		s := startBoth(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Alt-Svc", "clear")
			v.honest(w, r)
		})
		w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
		for i := range 100 {
			if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
				t.Fatalf("query %d: fault %v", i, r.Fault)
			}
		}
		if got := w.Lane.Stats(); v.three.Load() != 0 || got.HTTP3Failures != 0 || s.notices.count() != 0 {
			t.Errorf("%d over HTTP/3, stats %+v, notices %q", v.three.Load(), got, s.notices.list)
		}
	})
}
