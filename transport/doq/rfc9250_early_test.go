//go:build !race

package doq

// 0-RTT without the race detector, which now and then finds quic-go's race (0.65, issue 4303; see the package's documentation).

import (
	"crypto/tls"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// earlyServer returns a server that takes 0-RTT, an endpoint that offers it, and a relay between them that counts 0-RTT packets.
func earlyServer(t *testing.T, cfg func(*tls.Config), limits *quic.Config, handle func(x *served)) (*server, *transport.Endpoint, *atomic.Int32) {
	t.Helper()
	authority := lanetest.NewAuthority(t)
	server := authority.Server(lanetest.ServerName, time.Hour, "doq")
	if cfg != nil {
		cfg(server)
	}
	if limits == nil {
		limits = &quic.Config{Allow0RTT: true}
	}
	s := serve(t, "127.0.0.1:0", server, limits, handle)
	early := new(atomic.Int32)
	relay := lanetest.NewRelay(t, s.addr)
	relay.Watch(func(datagram []byte) { early.Add(int32(earlyPackets(datagram))) })
	e := lanetest.Endpoint(transport.QUIC, relay.Addr, authority.Client(lanetest.ServerName), nil)
	e.QUIC.EarlyData = true
	return s, e, early
}

// longName makes a query of more than longBytes.
var longName = strings.Repeat(strings.Repeat("n", 60)+".", 3) + "example."

const longBytes = 190

// earlyPackets counts the 0-RTT packets of QUIC v1 in a datagram (RFC 9000 §17.2.3) that are long enough for a query for longName: others
// hold connection ids and probes.
func earlyPackets(b []byte) (count int) {
	for len(b) > 7 && b[0]&0x80 != 0 && binary.BigEndian.Uint32(b[1:]) == uint32(transport.QUICv1) {
		kind := b[0] >> 4 & 3
		at := 5
		at += 1 + int(b[at])
		at += 1 + int(b[at])
		varint := func() int {
			n := 1 << (b[at] >> 6)
			v := int(b[at] & 0x3f)
			for _, x := range b[at+1 : at+n] {
				v = v<<8 | int(x)
			}
			at += n
			return v
		}
		if kind == 0 {
			at += varint() // token
		}
		size := varint()
		if kind == 1 && size > longBytes {
			count++
		}
		b = b[at+size:]
	}
	return count
}

// warm asks once, so that there is a session to resume, and closes the connection with everything on it.
func warm(t *testing.T, e *transport.Endpoint) {
	t.Helper()
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if r := w.Ask("warm.example.", plenty); r.Fault != transport.FaultNone {
		t.Fatalf("first connection: %v", r.Fault)
	}
	w.Close()
}

func TestRFC9250Section4_5(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(map[bool]string{false: "off", true: "on"}[on], func(t *testing.T) {
			lanetest.NoLeaks(t)
			s, e, early := earlyServer(t, nil, nil, honest)
			e.QUIC.EarlyData = on
			warm(t, e)
			if early.Load() != 0 {
				t.Error("0-RTT without a session")
			}
			ask := func() *lanetest.Worker {
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				if r := w.Ask(longName, plenty); r.Fault != transport.FaultNone {
					t.Fatal(r.Fault)
				}
				return w
			}
			w := ask()
			for range 20 {
				if !on || early.Load() > 0 {
					break
				}
				w.Close() // the handshake was over before the query could be sent: a busy machine
				w = ask()
			}
			lanetest.Eventually(t, "the session resumed", func() bool { return w.Lane.Stats().Resumed == 1 })
			got := w.Lane.Stats()
			if want := uint64(map[bool]int{true: 1}[on]); got.EarlyAccepted != want || got.EarlyRejected != 0 || s.last().ConnectionState().Used0RTT != on {
				t.Errorf("0-RTT accepted %d, rejected %d, by the server %t; want %d, 0, %t", got.EarlyAccepted, got.EarlyRejected, s.last().ConnectionState().Used0RTT, want, on)
			}
			if sent := early.Load() > 0; sent != on {
				t.Errorf("0-RTT packets sent: %t, want %t", sent, on)
			}
		})
	}
}

// The server has a session with 0-RTT and does not want it any more: all that was sent early is sent again, and the rest as ever.
func TestRFC9250Section4_5Rejected(t *testing.T) {
	lanetest.NoLeaks(t)
	s, e, early := earlyServer(t, nil, nil, honest)
	warm(t, e)
	s.stop()
	strict := serve(t, s.addr.String(), s.tls, &quic.Config{Allow0RTT: false}, honest)
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	const queries = 30
	for i := range queries {
		w.Submit(lanetest.Name(i)+longName, plenty)
	}
	if got := lanetest.Tally(w.Receive(queries)); got[transport.FaultNone] != queries {
		t.Errorf("replies %v, want answers only", got)
	}
	if early.Load() == 0 {
		t.Error("no 0-RTT packet was sent: the test shows nothing")
	}
	if got := w.Lane.Stats(); got.EarlyRejected != 1 || got.EarlyAccepted != 0 || got.Dials != 1 || strict.last().ConnectionState().Used0RTT {
		t.Errorf("%+v; want one connection, whose 0-RTT was rejected", got)
	}
}

// While the handshake is held up, QUERY and NOTIFY leave in 0-RTT, and UPDATE waits for its end.
func TestRFC9250Section4_5Opcodes(t *testing.T) {
	for _, test := range []struct {
		name  string
		code  byte
		early bool
	}{{"QUERY", dns.OpcodeQuery, true}, {"NOTIFY", dns.OpcodeNotify, true}, {"UPDATE", dns.OpcodeUpdate, false}} {
		t.Run(test.name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			var hold atomic.Bool
			hello, release := make(chan struct{}, 1), make(chan struct{})
			_, e, early := earlyServer(t, func(cfg *tls.Config) {
				cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					if hold.Load() {
						hello <- struct{}{}
						<-release
					}
					return nil, nil
				}
			}, nil, honest)
			warm(t, e)
			hold.Store(true)
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			query := lanetest.Query(longName)
			query[2] |= test.code << 3
			w.SubmitMessage(longName, query, plenty)
			<-hello
			if test.early {
				lanetest.Eventually(t, "a 0-RTT packet", func() bool { return early.Load() > 0 })
			} else {
				time.Sleep(100 * time.Millisecond) // time to do it wrong
			}
			if sent := early.Load() > 0; sent != test.early {
				t.Errorf("sent in 0-RTT: %t, want %t", sent, test.early)
			}
			close(release)
			if r := w.Receive(1)[0]; r.Fault != transport.FaultNone {
				t.Errorf("fault %v, want an answer", r.Fault)
			}
		})
	}
}
