package rig

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Steady is a client that sends queries for new names below bulk.example at a steady rate over UDP, whatever becomes of them (open loop), and
// counts by the phase of the test in which each was sent.
type Steady struct {
	tb     testing.TB
	socket *net.UDPConn
	stop   chan struct{}
	sent   chan struct{} // closed when no more are sent

	mu     sync.Mutex
	open   map[uint16]asked
	phase  string
	cookie string
	phases map[string]*Tally
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
}

// Failed counts those that got no answer, or another than NOERROR.
func (t *Tally) Failed() int { return t.Sent - t.RCodes[dns.RcodeSuccess] }

// StartSteady begins with the named phase.
func StartSteady(tb testing.TB, server netip.AddrPort, perSecond int, phase string) *Steady {
	tb.Helper()
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		tb.Fatal(err)
	}
	s := &Steady{tb: tb, socket: socket, stop: make(chan struct{}), sent: make(chan struct{}), open: map[uint16]asked{}, phases: map[string]*Tally{}}
	s.Phase(phase)
	received := make(chan struct{})
	go func() {
		defer close(received)
		s.receive()
	}()
	go s.send(time.Second / time.Duration(perSecond))
	tb.Cleanup(func() {
		s.halt()
		socket.Close()
		<-received
	})
	return s
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
		query := new(dns.Msg).SetQuestion(fmt.Sprintf("steady%d.bulk.example.", n), dns.TypeA)
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
		_, _ = s.socket.Write(packed) // refused: lost
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
		s.mu.Lock()
		if q, known := s.open[reply.Id]; known && q.name == reply.Question[0].Name {
			delete(s.open, reply.Id)
			q.in.RCodes[reply.Rcode]++
			q.in.Slowest = max(q.in.Slowest, time.Since(q.at))
		}
		s.mu.Unlock()
	}
}
