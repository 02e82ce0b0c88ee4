package doq

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

func TestVersions(t *testing.T) {
	both := []transport.QUICVersion{transport.QUICv1, transport.QUICv2}
	for _, test := range []struct {
		name     string
		versions []transport.QUICVersion
		server   []quic.Version // nil: both
		want     quic.Version   // 0: no connection
	}{
		{"default", nil, nil, quic.Version1},
		{"1", both[:1], nil, quic.Version1},
		{"2", both[1:], nil, quic.Version2},
		{"2 first", []transport.QUICVersion{transport.QUICv2, transport.QUICv1}, nil, quic.Version2},
		{"2 first, the server knows 1", []transport.QUICVersion{transport.QUICv2, transport.QUICv1}, []quic.Version{quic.Version1}, quic.Version1},
		{"2 only, the server knows 1", both[1:], []quic.Version{quic.Version1}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s, e, health := start(t, &quic.Config{Versions: test.server}, honest)
			e.QUIC.Versions = test.versions
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			r := w.Ask("example.", plenty)
			if test.want == 0 {
				var versions *quic.VersionNegotiationError
				lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
				if r.Fault != transport.FaultDial || !errors.As(health.Downs()[0], &versions) {
					t.Errorf("fault %v, down %v; want dial, for the version", r.Fault, health.Downs())
				}
				return
			}
			if r.Fault != transport.FaultNone || s.last().ConnectionState().Version != test.want {
				t.Errorf("fault %v, version %v, want %v", r.Fault, s.last().ConnectionState().Version, test.want)
			}
		})
	}
}

// TestStreams sets how many queries are on one connection at a time.
func TestStreams(t *testing.T) {
	lanetest.NoLeaks(t)
	const streams, queries = 4, 60
	var now, most atomic.Int32
	_, e, _ := start(t, nil, func(x *served) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		honest(x)
	})
	e.QUIC.Streams = streams
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for i := range queries {
		w.Submit(lanetest.Name(i), plenty)
	}
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want answers only", got)
	}
	if most.Load() > streams || most.Load() < 2 {
		t.Errorf("%d queries at a time at the server, want at most %d, and more than one", most.Load(), streams)
	}
}

// TestWindows has the server send without end on one stream or on several, with nobody reading: it gets rid of as much as the windows allow.
func TestWindows(t *testing.T) {
	const low = transport.QUICStreamWindowMin
	for _, test := range []struct {
		name     string
		settings transport.QUICSettings
		streams  int
		want     int64
	}{
		{"stream, least", transport.QUICSettings{StreamWindow: low}, 1, low},
		{"stream, more", transport.QUICSettings{StreamWindow: 300_000}, 1, 300_000},
		{"connection, least", transport.QUICSettings{Streams: 4, StreamWindow: 300_000}, 4, 4 * low},
		{"connection, more", transport.QUICSettings{Streams: 4, StreamWindow: 300_000, ConnectionWindow: 1_000_000}, 4, 1_000_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			var sent atomic.Int64
			_, e, _ := start(t, nil, func(x *served) {
				for chunk := make([]byte, 1000); ; {
					n, err := x.stream.Write(chunk)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			e.QUIC = test.settings
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			for i := range test.streams {
				w.Submit(lanetest.Name(i), time.Hour)
			}
			// What quic-go takes of a write before the window allows it is less than a packet for each stream.
			least, most := test.want-2000*int64(test.streams), test.want+2000*int64(test.streams)
			lanetest.Eventually(t, "the window used", func() bool { return sent.Load() >= least })
			time.Sleep(50 * time.Millisecond) // time to do it wrong
			if got := sent.Load(); got > most {
				t.Errorf("the server sent %d bytes, the window is %d", got, test.want)
			}
		})
	}
}

// TestKeepAlive looks at what an idle connection sends.
func TestKeepAlive(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(map[bool]string{true: "on", false: "off"}[on], func(t *testing.T) {
			lanetest.NoLeaks(t)
			authority := lanetest.NewAuthority(t)
			s := serve(t, "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour, "doq"), nil, honest)
			relay := lanetest.NewRelay(t, s.addr)
			var datagrams atomic.Int32
			relay.Watch(func([]byte) { datagrams.Add(1) })
			e := lanetest.Endpoint(transport.QUIC, relay.Addr, authority.Client(lanetest.ServerName), nil)
			e.QUIC.KeepAlive = -1
			if on {
				e.QUIC.KeepAlive = 50 * time.Millisecond
			}
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
				t.Fatal(r.Fault)
			}
			if on {
				first := datagrams.Load()
				lanetest.Eventually(t, "keep-alives", func() bool { return datagrams.Load() >= first+20 })
				return
			}
			quiet := func() bool { // what the handshake leaves behind, path MTU probes included, comes to an end
				before := datagrams.Load()
				time.Sleep(500 * time.Millisecond)
				return datagrams.Load() == before
			}
			lanetest.Eventually(t, "silence", quiet)
			if !quiet() {
				t.Error("an idle connection without keep-alives sent something")
			}
		})
	}
}

// TestMaxIdle loses the path of an idle connection: it ends by itself, and not while it is alive.
func TestMaxIdle(t *testing.T) {
	lanetest.NoLeaks(t)
	_, e, relay, health := behindRelay(t, honest)
	e.QUIC.KeepAlive, e.QUIC.MaxIdle = 100*time.Millisecond, time.Second
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone {
		t.Fatal(r.Fault)
	}
	relay.Cut()
	lanetest.Eventually(t, "the end of the connection", func() bool { return w.Lane.Stats().Open == 0 })
	if r := w.Ask("again.example.", plenty); r.Fault != transport.FaultNone || len(health.Downs()) != 0 {
		t.Errorf("afterwards: %v, downs %v; want an answer, and nobody blamed", r.Fault, health.Downs())
	}
}
