package worker

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/relay"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// relayBench is a worker with clients over TCP, whose relays the test plays.
type relayBench struct {
	*crowd
	line *relay.Line
}

const transferHandle = ring.Handle(5000) // of the first client over TCP

func newRelayBench(t *testing.T, edit func(*Snapshot)) *relayBench {
	t.Helper()
	b := &relayBench{crowd: &crowd{newBench(t, 2, func(c *Config, s *Snapshot) {
		s.Local.Localhost = true
		for k := range s.Requests.Kinds {
			s.Requests.Kinds[k].Treatment = Forwarded
		}
		if edit != nil {
			edit(s)
		}
		if err := s.validate(1); err != nil {
			t.Fatal(err)
		}
	}), map[ring.Handle]uint32{}}}
	b.line = b.w.relays.link.line
	return b
}

// transfer makes client n, over a connection of its own, ask for one.
func (b *relayBench) transfer(n int, id uint16) ring.Handle {
	b.t.Helper()
	h := transferHandle + ring.Handle(n)
	if _, known := b.ids[h]; !known {
		b.come(n, 1, h)
	}
	m := new(dns.Msg).SetAxfr("Example.")
	m.Id = id
	m.SetEdns0(1232, false)
	b.send(h, pack(b.t, m))
	return h
}

// send has a client say a message.
func (b *relayBench) send(h ring.Handle, msg []byte) {
	b.turn(ring.Event{Kind: ring.StreamData, Handle: h, Tag: b.ids[h], Data: append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)})
}

// wish takes the only thing that is wanted of the relays.
func (b *relayBench) wish() relay.Asked {
	b.t.Helper()
	asked, ok := b.line.Next()
	if !ok {
		b.t.Fatal("nothing is wanted")
	}
	b.noWish()
	return asked
}

func (b *relayBench) noWish() {
	b.t.Helper()
	if asked, more := b.line.Next(); more {
		b.t.Fatalf("wanted: %+v", asked)
	}
}

// give is a reply, and what the worker sends to streams because of it.
func (b *relayBench) give(to relay.Asked, msg []byte) []sentDatagram {
	b.eng.streamed = nil
	b.line.Give(to.Place, to.Gen, msg)
	b.line.Publish()
	b.turn()
	return b.eng.streamed
}

func (b *relayBench) fail(to relay.Asked, f transport.Fault) []sentDatagram {
	b.eng.streamed = nil
	b.line.Fail(to.Place, to.Gen, f)
	b.line.Publish()
	b.turn()
	return b.eng.streamed
}

// taken is that the client's kernel has all that was sent.
func (b *relayBench) taken(h ring.Handle) []sentDatagram {
	b.eng.streamed = nil
	b.turn(ring.Event{Kind: ring.StreamSent, Handle: h, Tag: b.ids[h]})
	return b.eng.streamed
}

// chunk is message number n of a transfer.
func chunk(id uint16, n int) []byte {
	msg := bytes.Repeat([]byte{byte(n)}, 20_000)
	binary.BigEndian.PutUint16(msg, id)
	msg[2], msg[3] = 0x84, 0
	return msg
}

// want checks that a stream was sent exactly one message.
func (b *relayBench) want(sent []sentDatagram, h ring.Handle, msg []byte) {
	b.t.Helper()
	if d := one(b.t, sent); d.handle != h || !bytes.Equal(d.data, append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)) {
		b.t.Fatalf("to %d: %d bytes", d.handle, len(d.data))
	}
}

// over checks that nothing is under way, and how many ended how.
func (b *relayBench) over(kind RequestKind, outcome RequestOutcome, n uint64) {
	b.t.Helper()
	b.noWish()
	if b.w.relays.underWay() != 0 || b.w.relays.transfers != 0 || b.w.stats.Requests[kind][outcome] != n {
		b.t.Errorf("%d under way, %d transfers, %v", b.w.relays.underWay(), b.w.relays.transfers, b.w.stats.Requests)
	}
}

// TestTransferPasses: the messages go to the client as they are; the next one is wanted when one is on its way, and given when that has been read.
func TestTransferPasses(t *testing.T) {
	b := newRelayBench(t, nil)
	h := b.transfer(1, 7)
	asked := b.wish()
	if job := &b.line.Jobs[asked.Place]; !asked.Begin || !job.Transfer || job.Once || len(job.Endpoints) != 2 || unpack(t, job.Message).Question[0].Name != "Example." {
		t.Fatalf("wanted: %+v, %+v", asked, job)
	}
	b.want(b.give(asked, chunk(7, 1)), h, chunk(7, 1))
	if asked = b.wish(); asked.Begin || asked.Stop {
		t.Fatalf("wanted: %+v", asked)
	}
	if sent := b.give(asked, chunk(7, 2)); len(sent) != 0 {
		t.Fatal("sent before there was room")
	}
	b.noWish()
	// Others are answered meanwhile, behind what is on its way.
	b.send(h, pack(t, query(9, "localhost.", dns.TypeA)))
	b.noWish()
	if sent := b.taken(h); len(sent) != 1 || idOf(sent[0].data[2:]) != 9 {
		t.Fatalf("%d sent", len(sent))
	}
	b.want(b.taken(h), h, chunk(7, 2))
	if sent := b.give(b.wish(), nil); len(sent) != 0 {
		t.Errorf("%d sent at the end", len(sent))
	}
	b.over(RequestTransfer, RequestRelayed, 1)
	if s := &b.w.stats; s.TransferMessages != 2 || s.TransferBytes != 40_000 {
		t.Errorf("%d messages, %d bytes", s.TransferMessages, s.TransferBytes)
	}
	if c := b.w.conns.Conn(1 << 16); c != nil && c.InFlight() != 0 {
		t.Errorf("%d in flight", c.InFlight())
	}
}

// TestTransferClients: one that does not read is cut off, one that goes takes its transfer with it, whatever that waits for.
func TestTransferClients(t *testing.T) {
	t.Run("does not read", func(t *testing.T) {
		b := newRelayBench(t, nil)
		h := b.transfer(1, 7)
		b.give(b.wish(), chunk(7, 1))
		b.give(b.wish(), chunk(7, 2))
		b.now += relay.TransferIdle
		b.turn()
		b.noWish()
		b.now += time.Second
		b.turn()
		if stop := b.wish(); !stop.Stop || len(b.eng.closed) != 1 || b.eng.closed[0] != h {
			t.Fatalf("wanted %+v, closed %v", stop, b.eng.closed)
		}
		b.settle()
		b.over(RequestTransfer, RequestLeft, 1)
	})
	for _, late := range []func(b *relayBench, to relay.Asked){
		func(b *relayBench, to relay.Asked) { b.give(to, chunk(7, 1)) },
		func(b *relayBench, to relay.Asked) { b.give(to, nil) },
		func(b *relayBench, to relay.Asked) { b.fail(to, transport.FaultShutdown) },
	} {
		t.Run("goes", func(t *testing.T) {
			b := newRelayBench(t, nil)
			h := b.transfer(1, 7)
			asked := b.wish()
			b.turn(ring.Event{Kind: ring.StreamEnd, Handle: h, Tag: b.ids[h], Errno: 104})
			b.settle()
			if stop := b.wish(); !stop.Stop || stop.Place != asked.Place || stop.Gen != asked.Gen || b.w.relays.underWay() != 1 {
				t.Fatalf("wanted %+v, %d under way", stop, b.w.relays.underWay())
			}
			late(b, asked)
			b.over(RequestTransfer, RequestLeft, 1)
		})
	}
	t.Run("asks no more", func(t *testing.T) { // but reads: RFC 7766 §6.2.3
		b := newRelayBench(t, nil)
		h := b.transfer(1, 7)
		b.turn(ring.Event{Kind: ring.StreamEnd, Handle: h, Tag: b.ids[h]})
		b.want(b.give(b.wish(), chunk(7, 1)), h, chunk(7, 1))
		b.give(b.wish(), nil)
		if len(b.eng.closed) != 0 {
			t.Error("closed before the client has all")
		}
		b.taken(h)
		if len(b.eng.closed) != 1 {
			t.Error("not closed")
		}
		b.over(RequestTransfer, RequestRelayed, 1)
	})
}

// TestTransferBreaksOff: the client is told, RFC 5936 §2.2.
func TestTransferBreaksOff(t *testing.T) {
	b := newRelayBench(t, nil)
	h := b.transfer(1, 7)
	b.give(b.wish(), chunk(7, 1))
	b.taken(h)
	sent := one(t, b.fail(b.wish(), transport.FaultClosed))
	m := unpack(t, sent.data[2:])
	if m.Id != 7 || m.Rcode != dns.RcodeServerFailure || len(m.Question) != 1 || m.Question[0].Name != "Example." || m.IsEdns0() == nil {
		t.Errorf("got %v", m)
	}
	b.wish() // its goroutine need not go on
	b.over(RequestTransfer, RequestFailed, 1)
}

// TestRelaysFull: beyond the limits the answer is SERVFAIL, and there is room again afterwards.
func TestRelaysFull(t *testing.T) {
	b := newRelayBench(t, nil)
	var under []relay.Asked
	for n := range relay.TransfersMax {
		b.transfer(n, 7)
		under = append(under, b.wish())
	}
	b.eng.streamed = nil
	b.transfer(30, 7)
	b.noWish()
	if m := unpack(t, one(t, b.eng.streamed).data[2:]); m.Rcode != dns.RcodeServerFailure || b.w.stats.Requests[RequestTransfer][RequestFull] != 1 {
		t.Errorf("one transfer more: %v", m)
	}
	notify := new(dns.Msg).SetNotify("example.")
	for range relay.PlacesMax - relay.TransfersMax {
		if sent := b.ask(1, notify); len(sent) != 0 {
			t.Fatalf("answered: %v", unpack(t, sent[0].data))
		}
		under = append(under, b.wish())
	}
	if m := unpack(t, one(t, b.ask(2, notify)).data); m.Rcode != dns.RcodeServerFailure || b.w.stats.Requests[RequestNotify][RequestFull] != 1 {
		t.Errorf("one more: %v", m)
	}
	for _, asked := range under {
		b.fail(asked, transport.FaultDial)
		for {
			if _, more := b.line.Next(); !more {
				break
			}
		}
	}
	b.over(RequestTransfer, RequestFailed, relay.TransfersMax)
	b.ask(2, notify)
	b.wish()
}

// TestRelaysDrain: a worker that drains carries on with what it has, and takes no more.
func TestRelaysDrain(t *testing.T) {
	b := newRelayBench(t, nil)
	notify := new(dns.Msg).SetNotify("example.")
	b.ask(1, notify)
	asked := b.wish()
	b.w.startDraining()
	b.ask(2, notify)
	b.noWish()
	if b.turn(); b.w.drained() {
		t.Error("drained with a request under way")
	}
	b.line.Give(asked.Place, asked.Gen, pack(t, new(dns.Msg).SetReply(notify)))
	b.line.Publish()
	if sent := b.turn(); len(sent) != 1 || !b.w.drained() {
		t.Errorf("%d sent, drained %v", len(sent), b.w.drained())
	}
}

// TestRelayRules: rules say who may transfer a zone, and, as views do, to which pool requests go.
func TestRelayRules(t *testing.T) {
	b := newRelayBench(t, func(s *Snapshot) {
		s.Pools[0].Members = []int{0}
		s.Pools = append(s.Pools, defaultPool(2))
		s.Pools[1].Name, s.Pools[1].Members = "other", []int{1}
		s.Rules = []policy.Rule{
			{Name: "transfers", Match: policy.Match{Op: policy.All, Of: []policy.Match{
				{Selector: policy.Selector{Kind: policy.QType, Numbers: []uint16{dns.TypeAXFR, dns.TypeIXFR}}},
				{Op: policy.Not, Of: []policy.Match{{Selector: policy.Selector{Kind: policy.Source, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}}},
			}}, Action: refuse()},
			{
				Name:   "notify",
				Match:  policy.Match{Selector: policy.Selector{Kind: policy.Opcode, Numbers: []uint16{dns.OpcodeNotify}}},
				Action: policy.Action{Do: policy.Route, Pool: 1, Extended: wire.EDENone},
			},
		}
	})
	b.eng.streamed = nil
	b.transfer(2, 7)
	b.noWish()
	if m := unpack(t, one(t, b.eng.streamed).data[2:]); m.Rcode != dns.RcodeRefused {
		t.Errorf("a stranger's transfer: %v", m)
	}
	b.transfer(1, 7)
	if job := &b.line.Jobs[b.wish().Place]; job.Endpoints[0] != b.w.active.pools[0].members[0].endpoint {
		t.Errorf("the transfer goes to %s", job.Endpoints[0].Name)
	}
	b.ask(3, new(dns.Msg).SetNotify("example."))
	if job := &b.line.Jobs[b.wish().Place]; len(job.Endpoints) != 1 || job.Endpoints[0] != b.w.active.pools[1].members[0].endpoint {
		t.Errorf("the NOTIFY goes to %s", job.Endpoints[0].Name)
	}
}
