package rig

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Puppet is a UDP upstream that does nothing by itself: it keeps the queries it gets, and sends what the test tells it to.
type Puppet struct {
	Addr   netip.AddrPort
	tb     testing.TB
	socket *net.UDPConn

	mu       sync.Mutex // guards received
	received []Received
}

// Received is one query and the proxy's address it came from.
type Received struct {
	Query *dns.Msg
	From  netip.AddrPort
}

// NewPuppet starts one; it ends with the test.
func NewPuppet(tb testing.TB) *Puppet {
	tb.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(FreeAddr(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	p := &Puppet{Addr: socket.LocalAddr().(*net.UDPAddr).AddrPort(), tb: tb, socket: socket}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.receive()
	}()
	tb.Cleanup(func() {
		socket.Close()
		<-ended
	})
	return p
}

func (p *Puppet) receive() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := p.socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return // closed at the end of the test
		}
		query := new(dns.Msg)
		if query.Unpack(buffer[:n]) != nil {
			continue
		}
		p.mu.Lock()
		p.received = append(p.received, Received{query, from})
		p.mu.Unlock()
	}
}

// Received are all queries so far.
func (p *Puppet) Received() []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.received)
}

// Asked tells whether any query has arrived.
func (p *Puppet) Asked() bool { return len(p.Received()) > 0 }

// AnswerAll gives every query received so far its good answer.
func (p *Puppet) AnswerAll() {
	p.tb.Helper()
	for _, r := range p.Received() {
		p.Send(p.Good(r), r.From)
	}
}

// Good is an answer with the address 192.0.2.9.
func (p *Puppet) Good(r Received) *dns.Msg {
	p.tb.Helper()
	return p.answer(r, "192.0.2.9")
}

// Forged is the same with the address 192.0.2.66, for the test to spoil further.
func (p *Puppet) Forged(r Received) *dns.Msg {
	p.tb.Helper()
	return p.answer(r, "192.0.2.66")
}

func (p *Puppet) answer(r Received, address string) *dns.Msg {
	reply := new(dns.Msg).SetReply(r.Query)
	record, err := dns.NewRR(r.Query.Question[0].Name + " 60 IN A " + address)
	if err != nil {
		p.tb.Fatal(err)
	}
	reply.Answer = []dns.RR{record}
	return reply
}

// Send sends a message from the upstream's own address.
func (p *Puppet) Send(reply *dns.Msg, to netip.AddrPort) {
	p.tb.Helper()
	p.SendFrom(p.socket, reply, to)
}

// SendFrom sends a message from another socket, as somebody off the path would.
func (p *Puppet) SendFrom(socket *net.UDPConn, reply *dns.Msg, to netip.AddrPort) {
	p.tb.Helper()
	wire, err := reply.Pack()
	if err != nil {
		p.tb.Fatal(err)
	}
	if _, err := socket.WriteToUDPAddrPort(wire, to); err != nil {
		p.tb.Errorf("answer to %v: %v", to, err)
	}
}
