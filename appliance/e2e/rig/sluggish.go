package rig

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Sluggish is a UDP upstream that answers so many queries a second and no more: those beyond wait in a queue, and are lost when that is full, as
// at a resolver that has too much to do. Names below bulk.example have A 192.0.2.1, others do not exist.
type Sluggish struct {
	Addr      netip.AddrPort
	perSecond int
	socket    *net.UDPConn
	queue     chan due
}

// due is a query and when it may be answered at the earliest.
type due struct {
	at    time.Time
	query []byte
	from  netip.AddrPort
}

const (
	// sluggishQueue is how many wait at most.
	sluggishQueue = 300
	// sluggishTime is what an answer takes at the least.
	sluggishTime = 10 * time.Millisecond
)

// NewSluggish starts one; it ends with the test.
func NewSluggish(tb testing.TB, perSecond int) *Sluggish {
	tb.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(FreeAddr(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	s := &Sluggish{Addr: socket.LocalAddr().(*net.UDPAddr).AddrPort(), perSecond: perSecond, socket: socket, queue: make(chan due, sluggishQueue)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.answer()
	}()
	go s.receive()
	tb.Cleanup(func() {
		socket.Close()
		<-ended
	})
	return s
}

func (s *Sluggish) receive() {
	defer close(s.queue)
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return // closed
		}
		select {
		case s.queue <- due{time.Now().Add(sluggishTime), append([]byte(nil), buffer[:n]...), from}:
		default:
		}
	}
}

func (s *Sluggish) answer() {
	pause := time.Second / time.Duration(s.perSecond)
	next := time.Now()
	for d := range s.queue {
		now := time.Now()
		if next.Before(now.Add(-10 * pause)) {
			next = now.Add(-10 * pause) // sleeps are longer than was asked for: what was missed is made up for, a little
		}
		next = next.Add(pause)
		time.Sleep(max(time.Until(next), time.Until(d.at)))
		query := new(dns.Msg)
		if query.Unpack(d.query) != nil || len(query.Question) != 1 {
			continue
		}
		reply := new(dns.Msg).SetReply(query)
		reply.RecursionAvailable = true
		header := dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}
		if strings.HasSuffix(header.Name, "bulk.example.") {
			reply.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(192, 0, 2, 1)}}
		} else {
			reply.Rcode = dns.RcodeNameError
			zone := header.Name[strings.IndexByte(header.Name, '.')+1:]
			reply.Ns = []dns.RR{&dns.SOA{
				Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 900},
				Ns:  "ns." + zone, Mbox: "admin." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 900,
			}}
		}
		if packed, err := reply.Pack(); err == nil {
			_, _ = s.socket.WriteToUDPAddrPort(packed, d.from)
		}
	}
}
