package worker

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// siege is a worker in virtual time whose clients' socket is a real one that overflows, because nobody reads it: what the worker receives
// are events of the fake engine.
type siege struct {
	*bench
	fd           int
	heavy, light *net.UDPConn
	query        []byte
	answered     map[netip.Addr]int
}

// Addresses of the clients.
var (
	heavySource = netip.MustParseAddr("127.9.0.1")
	lightSource = netip.MustParseAddr("127.9.0.2")
)

func newSiege(t *testing.T, edit func(*Admission)) *siege {
	cfg := Admission{Enabled: true, Target: 5 * time.Millisecond, KernelFilter: true}
	if edit != nil {
		edit(&cfg)
	}
	s := &siege{answered: map[netip.Addr]int{}}
	s.bench = newBench(t, 1, func(_ *Config, snap *Snapshot) { snap.Admission = cfg })
	up := one(t, s.ask(1, query(1, "a.example.", dns.TypeA)))
	s.turn(s.answer(up, reply(t, up.data, nil, "a.example. 3600 IN A 192.0.2.1")))
	s.query = pack(t, query(1, "a.example.", dns.TypeA))
	fd, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{RecvBufferBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s.fd = fd
	s.w.gate.sockets = []gateSocket{{fd: fd}}
	t.Cleanup(func() { sys.CloseFD(fd) })
	s.heavy, s.light = s.dial(heavySource), s.dial(lightSource)
	return s
}

func (s *siege) dial(source netip.Addr) *net.UDPConn {
	to, err := sys.LocalAddr(s.fd)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// flood goes on for so many milliseconds: 40 datagrams each to the socket, 33 events, of which one in every fourth is the light client's.
func (s *siege) flood(ms int) {
	for at := range ms {
		s.now += time.Millisecond
		for range 40 {
			if _, err := s.heavy.Write(s.query); err != nil {
				s.t.Fatal(err)
			}
		}
		var events []ring.Event
		for i := range 33 {
			source := heavySource
			if i == 7 && at%4 == 0 {
				source = lightSource
			}
			path := new(ring.Path)
			path.SetAddr(netip.AddrPortFrom(source, 1000))
			events = append(events, ring.Event{Kind: ring.Datagram, Handle: clientSocket, Data: s.query, Path: path})
		}
		for _, d := range s.turn(events...) {
			s.answered[d.to.Addr()]++
		}
	}
}

// arrive returns how many of 200 datagrams find their way into the socket, which is empty before and after.
func (s *siege) arrive(c *net.UDPConn) (n int) {
	s.read()
	for range 200 / 20 {
		for range 20 {
			if _, err := c.Write(s.query); err != nil {
				s.t.Fatal(err)
			}
		}
		n += s.read()
	}
	return n
}

func (s *siege) read() (n int) {
	buf := make([]byte, 600)
	for {
		if _, _, err := syscall.Recvfrom(s.fd, buf, syscall.MSG_DONTWAIT); err != nil {
			return n
		}
		n++
	}
}

// quiet lets time pass without a query.
func (s *siege) quiet(d time.Duration) {
	s.read()
	for range d / (10 * time.Millisecond) {
		s.now += 10 * time.Millisecond
		s.turn()
	}
}

func TestHeavySourceIsKeptOutOfTheSocket(t *testing.T) {
	s := newSiege(t, nil)
	s.flood(400)
	if s.w.stats.Overloaded != 1 || s.w.stats.RefusedSources != 1 || !s.w.gate.filters {
		t.Fatalf("overloaded %d, %d sources refused, filter %v (%s)", s.w.stats.Overloaded, s.w.stats.RefusedSources, s.w.gate.filters, s.w.gate.reason)
	}
	if heavy, light := s.arrive(s.heavy), s.arrive(s.light); heavy > 150 || light != 200 {
		t.Errorf("of 200 each: %d of the heavy source arrived, %d of the light one", heavy, light)
	}
	o := s.w.overload.Load()
	if o == nil || !o.Active || !o.Kernel || len(o.Refused) != 1 || o.Refused[0].Prefix.Addr() != heavySource || o.Capacity < 30_000 || o.Offered < o.Capacity {
		t.Errorf("report %+v", o)
	}
	if s.w.stats.SocketFull == 0 || s.w.stats.Refused == 0 {
		t.Errorf("%d without room, %d refused", s.w.stats.SocketFull, s.w.stats.Refused)
	}
	q, err := sys.ReceiveQueueOf(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	s.quiet(5 * time.Second)
	if s.w.stats.Overloaded != 0 || s.w.stats.RefusedSources != 0 || s.w.gate.filters || s.arrive(s.heavy) != 200 {
		t.Errorf("five seconds later: overloaded %d, %d sources refused", s.w.stats.Overloaded, s.w.stats.RefusedSources)
	}
	if o := s.w.overload.Load(); o.Active {
		t.Errorf("report %+v", o)
	}
	if sum := s.w.stats.SocketFull + s.w.stats.Refused; sum != uint64(q.Drops) {
		t.Errorf("%d drops are counted, the kernel has %d", sum, q.Drops)
	}
}

// TestHeavySourceIsDroppedByHand: where the operator wants it, and where the kernel refuses the filter.
func TestHeavySourceIsDroppedByHand(t *testing.T) {
	const lockFilter = 44 // SO_LOCK_FILTER
	for _, wanted := range []bool{false, true} {
		t.Run(fmt.Sprintf("kernel_filter=%v", wanted), func(t *testing.T) {
			s := newSiege(t, func(a *Admission) { a.KernelFilter = wanted })
			if err := syscall.SetsockoptInt(s.fd, syscall.SOL_SOCKET, lockFilter, 1); err != nil {
				t.Fatal(err)
			}
			s.flood(400)
			if !s.w.gate.byHand || s.w.gate.filters || s.w.stats.RefusedSources != 1 || (s.w.gate.reason != "") != wanted {
				t.Fatalf("by hand %v, filter %v, %d sources refused, reason %q", s.w.gate.byHand, s.w.gate.filters, s.w.stats.RefusedSources, s.w.gate.reason)
			}
			clear(s.answered)
			refused := s.w.stats.Refused
			s.flood(100)
			if heavy, light := s.answered[heavySource], s.answered[lightSource]; heavy > 3275*9/10 || light != 25 {
				t.Errorf("answered: %d of 3275 of the heavy source, %d of 25 of the light one", heavy, light)
			}
			if s.w.stats.Refused == refused {
				t.Error("nothing is counted")
			}
			if o := s.w.overload.Load(); o == nil || o.Kernel || (o.Reason != "") != wanted {
				t.Errorf("report %+v", o)
			}
		})
	}
}

// TestReloadOpensTheGate: switched off, nobody is refused anything any more; a reload that leaves the table alone changes nothing.
func TestReloadOpensTheGate(t *testing.T) {
	s := newSiege(t, nil)
	s.flood(400)
	c := *s.w.command.Load()
	s.w.command.Store(&c)
	s.turn()
	if s.w.stats.RefusedSources != 1 || !s.w.gate.filters {
		t.Fatal("a reload that changes nothing opened the gate")
	}
	off := c
	snap := *c.snapshot
	snap.Admission.Enabled = false
	off.snapshot = &snap
	s.w.command.Store(&off)
	s.turn()
	if s.w.stats.Overloaded != 0 || s.w.stats.RefusedSources != 0 || s.arrive(s.heavy) != 200 || s.w.overload.Load().Active {
		t.Error("switched off, the gate is not open")
	}
	s.flood(400)
	if s.w.stats.Overloaded != 0 || s.w.stats.RefusedSources != 0 || s.arrive(s.heavy) != 200 {
		t.Error("switched off, somebody is refused something")
	}
}

// TestGateAllocatesNothing: a turn with a crowd, while a source is refused something, in the kernel and by hand.
func TestGateAllocatesNothing(t *testing.T) {
	for _, kernel := range []bool{true, false} {
		s := newSiege(t, func(a *Admission) { a.KernelFilter = kernel })
		s.flood(400)
		if s.w.stats.RefusedSources != 1 {
			t.Fatal("nobody is refused anything")
		}
		s.eng.keep = false
		events := make([]ring.Event, 64)
		path := new(ring.Path)
		path.SetAddr(netip.AddrPortFrom(heavySource, 1000))
		if n := testing.AllocsPerRun(200, func() {
			s.now += 5 * time.Millisecond
			for i := range events {
				events[i] = ring.Event{Kind: ring.Datagram, Handle: clientSocket, Data: s.query, Path: path}
			}
			s.eng.events = events
			s.w.turn()
		}); n != 0 {
			t.Errorf("kernel %v: %v allocations in a turn", kernel, n)
		}
	}
}
