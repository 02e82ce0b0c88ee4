package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/wire"
)

func transferJob(t *testing.T) Job {
	m := new(dns.Msg).SetAxfr("example.")
	m.Id = 0xABCD
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return Job{Message: raw, Transfer: true, Extent: wire.Transfer{}}
}

// message number n of a zone that has no end; soa: it begins and ends there.
func message(t *testing.T, query []byte, n int, soa bool) []byte {
	m := new(dns.Msg)
	m.Id, m.Response = binary.BigEndian.Uint16(query), true
	text := fmt.Sprintf("n%d.example. 60 TXT %0200d", n, n)
	if soa {
		text = "example. 60 SOA . . 7 1 2 3 4"
	}
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Error(err)
	}
	m.Answer = []dns.RR{rr}
	raw, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return raw
}

// TestTransfer: over each transport that can, all messages pass in order as they are, and the end is known.
func TestTransfer(t *testing.T) {
	const count = 300
	for _, kind := range []string{"udp", "tcp", "tls", "quic"} {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := serve(t, kind, func(c *conversation) {
				for n := range count {
					if c.say(message(t, c.query, n, n == 0 || n == count-1)) != nil {
						t.Error("the client has gone")
					}
				}
			})
			u := newUser(t)
			job := transferJob(t)
			u.start(job, lanetest.Patience, s)
			for n := range count {
				r := u.receive()
				if want := message(t, job.Message, n, n == 0 || n == count-1); r.Fault != transport.FaultNone || !bytes.Equal(r.Msg, want) {
					t.Fatalf("message %d: %v, %x", n, r.Fault, r.Msg)
				}
				u.more()
			}
			if r := u.receive(); r.Fault != transport.FaultNone || len(r.Msg) != 0 {
				t.Errorf("the end: %v, %x", r.Fault, r.Msg)
			}
		})
	}
}

// TestTransferFails: what a transfer ends with that does not come to its end.
func TestTransferFails(t *testing.T) {
	for name, test := range map[string]struct {
		second func(c *conversation) error
		good   int // messages that pass
		fault  transport.Fault
	}{
		"the upstream dies":  {func(*conversation) error { return nil }, 1, transport.FaultClosed},
		"within a message":   {func(c *conversation) error { return c.write([]byte{1, 0, 1, 2, 3}) }, 1, transport.FaultClosed},
		"a record too many":  {func(c *conversation) error { m := message(t, c.query, 1, false); m[7]++; return c.say(m) }, 1, transport.FaultProtocol},
		"another id":         {func(c *conversation) error { m := message(t, c.query, 1, false); m[0]++; return c.say(m) }, 1, transport.FaultProtocol},
		"nothing in it":      {func(c *conversation) error { m := message(t, c.query, 1, false); m[7] = 0; return c.say(m) }, 1, transport.FaultProtocol},
		"an RCODE":           {func(c *conversation) error { m := message(t, c.query, 1, false); m[3] |= 2; return c.say(m) }, 2, transport.FaultNone},
		"shorter than it is": {func(c *conversation) error { return c.write([]byte{0, 3, 1, 2, 3}) }, 1, transport.FaultProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := serve(t, "tcp", func(c *conversation) {
				_ = c.say(message(t, c.query, 0, true))
				_ = test.second(c)
			})
			u := newUser(t)
			u.start(transferJob(t), lanetest.Patience, s, s)
			for n := range test.good {
				if r := u.receive(); r.Fault != transport.FaultNone || len(r.Msg) == 0 {
					t.Fatalf("message %d: %v", n, r.Fault)
				}
				u.more()
			}
			if r := u.receive(); r.Fault != test.fault || len(r.Msg) != 0 {
				t.Errorf("%v, want %v", r.Fault, test.fault)
			}
			if n := s.asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestTransferSecondUpstream: another one is asked as long as nothing has come.
func TestTransferSecondUpstream(t *testing.T) {
	lanetest.NoLeaks(t)
	dying := serve(t, "tcp", func(*conversation) {})
	odd := serve(t, "tcp", func(c *conversation) { _ = c.say(c.query) })
	good := serve(t, "tcp", func(c *conversation) {
		_ = c.say(message(t, c.query, 0, true))
		_ = c.say(message(t, c.query, 0, true))
	})
	u := newUser(t)
	u.start(transferJob(t), lanetest.Patience, dying, odd, good)
	for range 2 {
		if r := u.receive(); r.Fault != transport.FaultNone || len(r.Msg) == 0 {
			t.Fatalf("%v", r.Fault)
		}
		u.more()
	}
	if r := u.receive(); r.Fault != transport.FaultNone || len(r.Msg) != 0 {
		t.Errorf("the end: %v", r.Fault)
	}
	u.start(transferJob(t), lanetest.Patience, dying, odd)
	if r := u.receive(); r.Fault != transport.FaultProtocol {
		t.Errorf("without it: %v", r.Fault)
	}
}

// TestTransferWaits: an upstream is read no faster than its client takes the messages; a transfer that is stopped leaves nothing, whatever it was at.
func TestTransferWaits(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "quic"} {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			var written atomic.Int64
			s := serve(t, kind, func(c *conversation) {
				for n := 0; ; n++ {
					msg := message(t, c.query, n, n == 0)
					if c.say(msg) != nil {
						return
					}
					written.Add(int64(len(msg)))
				}
			})
			u := newUser(t)
			u.start(transferJob(t), lanetest.Patience, s)
			u.receive()
			last := int64(-1)
			lanetest.Eventually(t, "the upstream waits", func() bool {
				before := last
				time.Sleep(50 * time.Millisecond)
				last = written.Load()
				return before == last
			})
			if last > 64<<20 { // buffers of the kernel
				t.Errorf("%d bytes were read ahead", last)
			}
			u.line.Stop(0, u.gen) // while nothing is asked for: no reply
			u.line.Flush()
			u.start(transferJob(t), lanetest.Patience, s)
			u.receive()
			u.more()
			u.line.Stop(0, u.gen) // a reply is owed: the message, or that it has been stopped
			u.line.Flush()
			u.receive()
			if r, ok := u.line.Receive(); ok {
				t.Errorf("one too many: %+v", r)
			}
		})
	}
}
