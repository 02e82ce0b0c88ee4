package worker

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
)

// crowd is a worker with room for 64 TCP clients.
type crowd struct {
	*bench
	ids map[ring.Handle]uint32 // of all that were accepted
}

func newCrowd(t *testing.T) *crowd {
	return &crowd{newBench(t, 1, func(c *Config, s *Snapshot) {
		c.TCP.Conns, c.TCP.ConnsPerClient, s.Local.Localhost = 64, 64, true
	}), map[ring.Handle]uint32{}}
}

// come lets so many connections of client n arrive in one turn, whose handles begin with first, together with other events.
func (c *crowd) come(n, count int, first ring.Handle, others ...ring.Event) {
	var events []ring.Event
	for i := range count {
		events = append(events, ring.Event{Kind: ring.Accepted, Handle: first + ring.Handle(i), Path: client(n)})
	}
	c.turn(append(events, others...)...)
	for id := range c.w.conns.All() {
		c.ids[c.w.conns.Conn(id).Handle] = uint32(id)
	}
}

// question makes the event of one over a connection.
func (c *crowd) question(h ring.Handle) ring.Event {
	msg := pack(c.t, query(1, "localhost.", dns.TypeA))
	return ring.Event{Kind: ring.StreamData, Handle: h, Tag: c.ids[h], Data: append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)}
}

// settle lets the kernel close what the worker has closed.
func (c *crowd) settle() {
	var events []ring.Event
	for _, h := range c.eng.closed {
		events = append(events, ring.Event{Kind: ring.StreamClosed, Handle: h, Tag: c.ids[h]})
	}
	c.eng.closed = nil
	c.turn(events...)
}

// TestBurstOfTCPClients: of 300 who come in one turn those who find room are served when they ask, a turn later; the others are refused.
func TestBurstOfTCPClients(t *testing.T) {
	b := newCrowd(t)
	b.come(1, 300, 1000)
	if got := b.w.stats.Streams; got[StreamAccepted] != 64 || got[StreamRefusedTotal] != 236 || got[StreamCrowded] != 0 {
		t.Errorf("%d accepted, %d refused, %d closed for those who came", got[StreamAccepted], got[StreamRefusedTotal], got[StreamCrowded])
	}
	b.settle()
	b.now += 10 * time.Millisecond
	b.come(2, 100, 2000)
	var questions []ring.Event
	for i := range 64 {
		questions = append(questions, b.question(1000+ring.Handle(i)))
	}
	b.turn(questions...)
	if got := len(b.eng.streamed); got != 64 {
		t.Errorf("%d were served, want all 64 who found room", got)
	}
}

// TestCrowdedTCPReadsFirst: a connection whose question arrives in the turn that has to make room is not one of the quiet ones, and those who
// come find the room that they made.
func TestCrowdedTCPReadsFirst(t *testing.T) {
	b := newCrowd(t)
	b.come(1, 62, 1000)
	b.now += time.Second
	b.come(2, 2, 2000, b.question(1000))
	if len(b.eng.streamed) != 1 || len(b.eng.closed) != 2 || b.eng.closed[0] != 1001 || b.eng.closed[1] != 1002 {
		t.Errorf("%d answers; closed %v, want the two that were quiet longest, 1001 and 1002", len(b.eng.streamed), b.eng.closed)
	}
	b.settle()
	b.come(3, 2, 3000)
	if got := b.w.stats.Streams; got[StreamAccepted] != 66 || got[StreamRefusedTotal] != 0 || got[StreamCrowded] != 4 {
		t.Errorf("%d accepted, %d refused, %d closed for those who came", got[StreamAccepted], got[StreamRefusedTotal], got[StreamCrowded])
	}
}
