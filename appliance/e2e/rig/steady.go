package rig

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Steady is a client that sends queries for names below bulk.example at a steady rate, whatever becomes of them (open loop), and counts by the
// phase of the test in which each was sent. Over UDP, what comes back truncated is asked again over TCP.
type Steady struct {
	tb     testing.TB
	server netip.AddrPort
	pace   Pace
	socket *net.UDPConn
	tcp    sync.WaitGroup // queries over TCP
	stop   chan struct{}
	sent   chan struct{} // closed when no more are sent

	mu     sync.Mutex
	open   map[uint16]asked
	phase  string
	cookie string
	phases map[string]*Tally
}

// Pace is what a Steady asks.
type Pace struct {
	PerSecond int
	Names     int        // so many names in turn; 0: always new ones
	Source    netip.Addr // zero: the kernel's choice
	TCP       bool       // each query over a connection of its own
}

type asked struct {
	at   time.Time
	name string
	in   *Tally
}

// Tally is what became of the queries of one phase.
type Tally struct {
	Sent, Lost int
	RCodes     map[int]int
	Slowest    time.Duration // of those that were answered
	Times      []time.Duration
}

// Percentile is the time within which so many percent of those that were answered were; 0 without any.
func (t *Tally) Percentile(percent float64) time.Duration {
	if len(t.Times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t.Times))
	return sorted[min(int(float64(len(sorted))*percent/100), len(sorted)-1)]
}

// Failed counts those that got no answer, or another than NOERROR.
func (t *Tally) Failed() int { return t.Sent - t.RCodes[dns.RcodeSuccess] }

// StartSteady begins with the named phase.
func StartSteady(tb testing.TB, server netip.AddrPort, perSecond int, phase string) *Steady {
	tb.Helper()
	return StartSteadyAt(tb, server, Pace{PerSecond: perSecond}, phase)
}

// StartSteadyAt is StartSteady at a pace.
func StartSteadyAt(tb testing.TB, server netip.AddrPort, pace Pace, phase string) *Steady {
	tb.Helper()
	var local *net.UDPAddr
	if pace.Source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(pace.Source, 0))
	}
	socket, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(server))
	if err != nil {
		tb.Fatal(err)
	}
	roomy(tb, socket)
	s := &Steady{tb: tb, server: server, pace: pace, socket: socket, stop: make(chan struct{}), sent: make(chan struct{}), open: map[uint16]asked{}, phases: map[string]*Tally{}}
	s.Phase(phase)
	received := make(chan struct{})
	go func() {
		defer close(received)
		s.receive()
	}()
	go s.send(time.Second / time.Duration(pace.PerSecond))
	tb.Cleanup(func() {
		s.halt()
		socket.Close()
		<-received
		s.tcp.Wait()
	})
	return s
}

// roomy gives a socket room for the answers that come while the test waits for a CPU: root's privilege, else what the kernel allows.
func roomy(tb testing.TB, socket *net.UDPConn) {
	tb.Helper()
	raw, err := socket.SyscallConn()
	if err != nil {
		tb.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, steadyBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, steadyBuffer)
		}
	}); err != nil {
		tb.Fatal(err)
	}
}

// Phase counts what is sent from now on under another name.
func (s *Steady) Phase(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = name
	if s.phases[name] == nil {
		s.phases[name] = &Tally{RCodes: map[int]int{}}
	}
}

// Cookie sends a DNS cookie with all queries from now on; hexadecimal digits.
func (s *Steady) Cookie(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cookie = text
}

// Stop sends no more, waits up to patience for answers to those that were sent, and returns the counts.
func (s *Steady) Stop(patience time.Duration) map[string]*Tally {
	s.halt()
	Holds(patience, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.open) == 0
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.open {
		q.in.Lost++
	}
	s.open = map[uint16]asked{}
	return s.phases
}

func (s *Steady) halt() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.sent
}

func (s *Steady) send(pause time.Duration) {
	defer close(s.sent)
	start := time.Now()
	for n := 0; ; n++ {
		select {
		case <-s.stop:
			return
		case <-time.After(time.Until(start.Add(time.Duration(n) * pause))):
		}
		name := fmt.Sprintf("steady%d.bulk.example.", n)
		if s.pace.Names != 0 {
			name = fmt.Sprintf("known%d.bulk.example.", n%s.pace.Names)
		}
		query := new(dns.Msg).SetQuestion(name, dns.TypeA)
		query.Id = uint16(n)
		s.mu.Lock()
		if s.cookie != "" {
			opt := query.SetEdns0(1232, false).IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: s.cookie})
		}
		s.mu.Unlock()
		packed, err := query.Pack()
		if err != nil {
			panic(err)
		}
		s.mu.Lock()
		if old, taken := s.open[query.Id]; taken {
			old.in.Lost++ // 65536 queries ago
		}
		in := s.phases[s.phase]
		in.Sent++
		s.open[query.Id] = asked{time.Now(), query.Question[0].Name, in}
		s.mu.Unlock()
		if s.pace.TCP {
			s.overTCP(query)
			continue
		}
		_, _ = s.socket.Write(packed) // refused: lost
	}
}

// overTCP asks on a connection of its own, beside all else.
func (s *Steady) overTCP(query *dns.Msg) {
	s.tcp.Go(func() {
		client := dns.Client{Net: "tcp", Timeout: steadyTimeout}
		if s.pace.Source.IsValid() {
			client.Dialer = &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.pace.Source, 0)), Timeout: steadyTimeout}
		}
		if reply, _, err := client.Exchange(query, s.server.String()); err == nil {
			s.took(reply)
		}
	})
}

// took counts an answer.
func (s *Steady) took(reply *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, known := s.open[reply.Id]; known && q.name == reply.Question[0].Name {
		delete(s.open, reply.Id)
		took := time.Since(q.at)
		q.in.RCodes[reply.Rcode]++
		q.in.Slowest = max(q.in.Slowest, took)
		q.in.Times = append(q.in.Times, took)
	}
}

func (s *Steady) receive() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.socket.Read(buffer)
		if ne, ok := err.(*net.OpError); ok && ne.Err == net.ErrClosed {
			return
		}
		reply := new(dns.Msg)
		if err != nil || reply.Unpack(buffer[:n]) != nil || len(reply.Question) != 1 {
			continue
		}
		if reply.Truncated {
			query := new(dns.Msg).SetQuestion(reply.Question[0].Name, dns.TypeA)
			query.Id = reply.Id
			s.overTCP(query)
			continue
		}
		s.took(reply)
	}
}
