// Package enginetest is the test suite that every engine must pass: the same sockets, the same events, in the same order.
// It is imported only by tests.
package enginetest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Engine is what ring.Ring and mmsg.Engine have in common; package worker declares the same where it uses it.
type Engine interface {
	AddDatagram(fd int, tag uint32, pktinfo bool) (ring.Handle, error)
	AddListener(fd int, tag uint32) (ring.Handle, error)
	SetTag(h ring.Handle, tag uint32)
	Recv(h ring.Handle)
	Send(h ring.Handle, buf []byte)
	Close(h ring.Handle)
	Reserve() []byte
	Commit(h ring.Handle, n int, to *ring.Path)
	Turn(wait time.Duration) []ring.Event
	Waker() *ring.Waker
	Counters() *ring.Counters
	Name() string
	Shutdown() error
}

// Opener opens the engine under test on the calling thread.
type Opener func(ring.Config) (Engine, error)

// patience bounds every wait of the suite: far beyond what any of it takes, so that reaching it means a lost event.
const patience = 20 * time.Second

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	suites := []struct {
		name  string
		tests map[string]func(*testing.T, Opener)
	}{
		{"datagram", datagramTests},
		{"stream", streamTests},
		{"wake", wakeTests},
		{"resource", resourceTests},
	}
	for _, s := range suites {
		for name, test := range s.tests {
			t.Run(s.name+"/"+name, func(t *testing.T) { test(t, open) })
		}
	}
}

// start opens an engine on the test's thread and shuts it down at the end, checking that every descriptor was closed.
func start(t testing.TB, open Opener, cfg ring.Config) Engine {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread dies with the test, as a worker's does
	cfg.CPU = -1
	before := descriptors(t)
	e, err := open(cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(); err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		if c := e.Counters(); c.Unexpected != 0 || c.Lost != 0 || c.BuffersLost != 0 {
			t.Errorf("counters: %+v, want nothing unexpected and nothing lost", *c)
		}
		// Sockets of the test's own clients may close a little later.
		for i := 0; descriptors(t) > before; i++ {
			if i == 100 {
				t.Errorf("descriptors: %d open, %d before the engine", descriptors(t), before)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return e
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// until turns the engine, giving every event to handle, until handle returns true.
func until(t testing.TB, e Engine, what string, handle func(*ring.Event) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		done := false
		for i, events := 0, e.Turn(20*time.Millisecond); i < len(events); i++ {
			done = handle(&events[i]) || done
		}
		if done {
			return
		}
	}
	t.Fatalf("%s: never came; counters %+v", what, *e.Counters())
}

// settle turns the engine n times and fails on any event.
func settle(t testing.TB, e Engine, n int) {
	t.Helper()
	for range n {
		for _, event := range e.Turn(time.Millisecond) {
			t.Errorf("unexpected event: %v on %#x, errno %v, %d bytes", event.Kind, event.Handle, event.Errno, len(event.Data))
		}
	}
}

// udp adds a datagram socket bound to a free port of host.
func udp(t testing.TB, e Engine, host string, tag uint32) (ring.Handle, netip.AddrPort) {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(host), freeUDP(t))
	fd, err := sys.ListenUDP(addr, sys.SocketOptions{RecvBufferBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	local, err := sys.LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	h, err := e.AddDatagram(fd, tag, addr.Addr().IsUnspecified())
	if err != nil {
		t.Fatal(err)
	}
	return h, local
}

// freeUDP is a port that no socket is bound to, on any address. Port 0 will not do: with SO_REUSEPORT the kernel may give
// two sockets the same one.
func freeUDP(t testing.TB) uint16 {
	t.Helper()
	l, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// freeTCP is the same for listeners.
func freeTCP(t testing.TB) uint16 {
	t.Helper()
	l, err := net.ListenTCP("tcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// tcp adds a listener on 127.0.0.1. Its send queues are small, so that writers meet a full one.
func tcp(t testing.TB, e Engine, tag uint32) (ring.Handle, netip.AddrPort) {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freeTCP(t))
	fd, err := sys.ListenTCP(addr, sys.SocketOptions{SendBufferBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	local, err := sys.LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	h, err := e.AddListener(fd, tag)
	if err != nil {
		t.Fatal(err)
	}
	return h, local
}

// dialUDP is a client connected to addr: it takes datagrams only from there.
func dialUDP(t testing.TB, addr netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// connect opens a TCP connection to a listener of the engine and returns both ends.
func connect(t testing.TB, e Engine, addr netip.AddrPort) (*net.TCPConn, ring.Handle) {
	t.Helper()
	c := dialTCP(t, addr)
	var h ring.Handle
	until(t, e, "accept", func(event *ring.Event) bool {
		if event.Kind == ring.Accepted {
			h = event.Handle
			if got, want := event.Path.Addr(), c.LocalAddr().(*net.TCPAddr).AddrPort(); got != want {
				t.Errorf("accepted peer = %v, want %v", got, want)
			}
		}
		return h != 0
	})
	return c, h
}

func dialTCP(t testing.TB, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// reply sends the payload of a datagram back on the way it came.
func reply(e Engine, event *ring.Event) {
	n := copy(e.Reserve(), event.Data)
	e.Commit(event.Handle, n, event.Path)
}

// buffer is off-heap memory for Send.
func buffer(t testing.TB, n int) []byte {
	t.Helper()
	b, err := sys.Map(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Unmap(b); err != nil {
			t.Error(err)
		}
	})
	return b
}

// is reports whether an event's errno matches one of the given ones.
func is(errno syscall.Errno, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(errno, e) {
			return true
		}
	}
	return false
}
