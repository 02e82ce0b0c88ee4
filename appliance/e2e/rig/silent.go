package rig

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// Silent is a UDP upstream that keeps the queries it gets until it is told to answer.
type Silent struct {
	Addr   netip.AddrPort
	tb     testing.TB
	socket *net.UDPConn
	asked  atomic.Bool

	mu      sync.Mutex // guards pending
	pending []pendingQuery
}

type pendingQuery struct {
	query *dns.Msg
	from  netip.AddrPort
}

// NewSilent starts one; it ends with the test.
func NewSilent(tb testing.TB) *Silent {
	tb.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(FreeAddr(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	s := &Silent{Addr: socket.LocalAddr().(*net.UDPAddr).AddrPort(), tb: tb, socket: socket}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.receive()
	}()
	tb.Cleanup(func() {
		socket.Close()
		<-ended
	})
	return s
}

func (s *Silent) receive() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return // closed at the end of the test
		}
		query := new(dns.Msg)
		if query.Unpack(buffer[:n]) != nil {
			continue
		}
		s.mu.Lock()
		s.pending = append(s.pending, pendingQuery{query, from})
		s.mu.Unlock()
		s.asked.Store(true)
	}
}

// Asked tells whether any query has arrived.
func (s *Silent) Asked() bool { return s.asked.Load() }

// Answer answers all queries that have arrived, with one address each.
func (s *Silent) Answer() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pending {
		reply := new(dns.Msg).SetReply(p.query)
		record, err := dns.NewRR(p.query.Question[0].Name + " 60 IN A 192.0.2.9")
		if err != nil {
			s.tb.Fatal(err)
		}
		reply.Answer = []dns.RR{record}
		wire, err := reply.Pack()
		if err != nil {
			s.tb.Fatal(err)
		}
		if _, err := s.socket.WriteToUDPAddrPort(wire, p.from); err != nil {
			s.tb.Errorf("answer to %v: %v", p.from, err)
		}
	}
	s.pending = nil
}
