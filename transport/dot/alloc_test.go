package dot

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"runtime"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// mirror turns queries into answers in place and allocates nothing for it.
func mirror(_ *server, conn net.Conn) {
	buf, held := make([]byte, 64<<10), 0
	for {
		n, err := conn.Read(buf[held:])
		if err != nil {
			return
		}
		held += n
		whole := 0
		for held-whole >= 2 {
			next := whole + 2 + int(binary.BigEndian.Uint16(buf[whole:]))
			if next > held {
				break
			}
			buf[whole+4] |= 0x80 // QR
			whole = next
		}
		if _, err := conn.Write(buf[:whole]); err != nil {
			return
		}
		held = copy(buf, buf[whole:held])
	}
}

// exchanger is a worker that allocates nothing.
type exchanger struct {
	lane  *transport.Lane
	wake  chan struct{}
	query []byte
	bad   int
}

func newExchanger(t testing.TB, e *transport.Endpoint) *exchanger {
	t.Helper()
	x := &exchanger{wake: make(chan struct{}, 1), query: lanetest.Query("example.")}
	lane, err := transport.NewLane(e, func() {
		select {
		case x.wake <- struct{}{}:
		default:
		}
	}, transport.LaneLimits{})
	if err != nil {
		t.Fatal(err)
	}
	x.lane = lane
	lane.Start(Run)
	return x
}

// exchange has queries queries answered, with up to window of them outstanding.
func (x *exchanger) exchange(queries, window int) {
	sent, got := 0, 0
	for got < queries {
		for sent < queries && sent-got < window && x.lane.Submit(uint32(sent), 1, transport.Now()+time.Minute, x.query) {
			sent++
		}
		x.lane.Flush()
		idle := true
		for r, ok := x.lane.Receive(); ok; r, ok = x.lane.Receive() {
			idle = false
			if r.Fault != transport.FaultNone {
				x.bad++
			}
			got++
		}
		if idle {
			<-x.wake
		}
	}
}

// TestNoAllocation counts the allocations of the whole process, loopback server included. crypto/tls allocates a little for each
// record, on either side; over TCP there is nothing.
func TestNoAllocation(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	authority := lanetest.NewAuthority(t)
	for _, test := range []struct {
		name        string
		cfg, client *tls.Config
		window      int
		most        float64 // allocations a query
	}{
		{"tcp, one by one", nil, nil, 1, 0.01},
		{"tcp, pipelined", nil, nil, 256, 0.01},
		{"tls, pipelined", authority.Server(lanetest.ServerName, time.Hour), authority.Client(lanetest.ServerName), 256, 0.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := serve(t, test.cfg, mirror)
			x := newExchanger(t, s.endpoint(test.client, nil))
			defer x.lane.Close(t.Context())
			const queries = 20000
			x.exchange(2000, test.window)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			x.exchange(queries, test.window)
			runtime.ReadMemStats(&after)
			if got := float64(after.Mallocs-before.Mallocs) / queries; got > test.most || x.bad > 0 {
				t.Errorf("%.3f allocations a query, want at most %.2f; %d queries failed", got, test.most, x.bad)
			}
		})
	}
}

// BenchmarkExchange is one query and its answer through lane, driver and a loopback server in the same process.
func BenchmarkExchange(b *testing.B) {
	authority := lanetest.NewAuthority(b)
	for _, test := range []struct {
		name        string
		cfg, client *tls.Config
	}{{"tcp", nil, nil}, {"tls", authority.Server(lanetest.ServerName, time.Hour), authority.Client(lanetest.ServerName)}} {
		for _, window := range []struct {
			name string
			size int
		}{{"1", 1}, {"256", 256}, {"2048", 2048}} {
			b.Run(test.name+"/"+window.name, func(b *testing.B) {
				s := serve(b, test.cfg, mirror)
				x := newExchanger(b, s.endpoint(test.client, nil))
				defer x.lane.Close(b.Context())
				x.exchange(2*window.size, window.size)
				b.ReportAllocs()
				b.ResetTimer()
				x.exchange(b.N, window.size)
				b.StopTimer()
				if x.bad > 0 {
					b.Errorf("%d queries failed", x.bad)
				}
			})
		}
	}
}
