package dot

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestFastOpen reconnects with TCP Fast Open, with and without support in kernel and server: data goes with the SYN where both have it, and
// every query is answered anyway. The first connection to a server gets its cookie, so it cannot be a fast one.
func TestFastOpen(t *testing.T) {
	if !lanetest.Isolated(t) {
		return
	}
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		for _, test := range []struct {
			name     string
			sysctl   string // bit 0: as client, bit 1: as server
			wanted   bool
			accepted bool // by the server's socket
			fast     bool
		}{
			{"kernel and server can", "3", true, true, true},
			{"not wanted", "3", false, true, false},
			{"server cannot", "3", true, false, false},
			{"kernel cannot", "0", true, true, false},
			{"server's kernel cannot", "1", true, true, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				lanetest.NoLeaks(t)
				lanetest.Sysctl(t, "ipv4.tcp_fastopen", test.sysctl)
				s := &server{t: t, conns: map[net.Conn]bool{}}
				if test.accepted {
					s.options.Control = func(_, _ string, raw syscall.RawConn) error {
						return raw.Control(func(fd uintptr) {
							if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16); err != nil {
								t.Errorf("server: %v", err)
							}
						})
					}
				}
				s.options.SetMultipathTCP(false)
				s.listen("127.0.0.1:0", cfg, closingAfter(1))
				t.Cleanup(s.stop)
				e := s.endpoint(client, nil)
				e.FastOpen = test.wanted
				w := lanetest.Open(t, e, Run, transport.LaneLimits{})
				const connections = 4
				for i := range connections {
					if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
						t.Fatalf("query %d: fault %v", i, r.Fault)
					}
				}
				// The cookie is that of the address: it may be there already.
				if got := w.Lane.Stats().FastOpened; test.fast && got < connections-1 || !test.fast && got != 0 {
					t.Errorf("%d of %d connections were fast", got, connections)
				}
			})
		}
	})
}

// TestFastOpenToNobody: a connection that is opened with the first query fails with it.
func TestFastOpenToNobody(t *testing.T) {
	if !lanetest.Isolated(t) {
		return
	}
	overBoth(t, func(t *testing.T, cfg, client *tls.Config) {
		lanetest.NoLeaks(t)
		lanetest.Sysctl(t, "ipv4.tcp_fastopen", "3")
		s := &server{t: t, conns: map[net.Conn]bool{}}
		s.options.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16) })
		}
		s.options.SetMultipathTCP(false)
		s.listen("127.0.0.1:0", cfg, closingAfter(1))
		health := new(lanetest.Health)
		e := s.endpoint(client, health)
		e.FastOpen = true
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		for i := range 2 {
			if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultNone {
				t.Fatalf("query %d: fault %v", i, r.Fault)
			}
		}
		s.stop()
		for i := range 5 {
			if r := w.Ask(lanetest.Name(i), plenty); r.Fault != transport.FaultDial && r.Fault != transport.FaultClosed {
				t.Errorf("query %d to nobody: fault %v", i, r.Fault)
			}
		}
		lanetest.Eventually(t, "down", func() bool { return len(health.Downs()) > 0 })
	})
}
