package rig

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Actor is a UDP upstream that plays a part: it serves the name bulk.example and all below it with A 192.0.2.1, as Unbound does, until the
// test makes it play another. It is for faults that a real server cannot be made to show.
type Actor struct {
	Addr netip.AddrPort
	tb   testing.TB
	part atomic.Pointer[part]
	got  atomic.Int64

	known bool // Addr may have been told

	mu     sync.Mutex // guards server
	server *dns.Server
}

// part is what becomes of a query.
type part struct {
	delay time.Duration
	mute  bool
	rcode int
}

// NewActor starts one that plays well.
func NewActor(tb testing.TB) *Actor {
	tb.Helper()
	a := &Actor{Addr: FreeAddr(tb), tb: tb}
	a.Well()
	a.known = true
	tb.Cleanup(a.stop)
	return a
}

// Well answers at once.
func (a *Actor) Well() { a.play(part{}) }

// Slow answers after delay.
func (a *Actor) Slow(delay time.Duration) { a.play(part{delay: delay}) }

// Mute takes queries and says nothing.
func (a *Actor) Mute() { a.play(part{mute: true}) }

// Says answers every query with rcode.
func (a *Actor) Says(rcode int) { a.play(part{rcode: rcode}) }

// Gone closes the port: queries are refused by ICMP.
func (a *Actor) Gone() { a.stop() }

// Queries returns how many have come.
func (a *Actor) Queries() int { return int(a.got.Load()) }

// listen opens the port, or another one while nobody knows which: resolvers draw the ports of their queries from all that there are.
func (a *Actor) listen() (*net.UDPConn, error) {
	for attempt := 1; ; attempt++ {
		socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a.Addr))
		if err == nil || a.known || attempt == actorAttemptsMax {
			return socket, err
		}
		a.Addr = FreeAddr(a.tb)
	}
}

func (a *Actor) play(p part) {
	a.tb.Helper()
	a.part.Store(&p)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		return
	}
	socket, err := a.listen()
	if err != nil {
		a.tb.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(a.answer), NotifyStartedFunc: func() { close(started) }}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	a.server = server
}

func (a *Actor) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Shutdown()
		a.server = nil
	}
}

func (a *Actor) answer(w dns.ResponseWriter, query *dns.Msg) {
	a.got.Add(1)
	p := a.part.Load()
	time.Sleep(p.delay)
	if p.mute {
		return
	}
	reply := new(dns.Msg).SetRcode(query, p.rcode)
	if q := query.Question[0]; p.rcode == dns.RcodeSuccess && q.Qtype == dns.TypeA {
		reply.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: net.IPv4(192, 0, 2, 1),
		}}
	}
	_ = w.WriteMsg(reply) // the port may be closed by now
}
