package relay

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestExchange: over each transport a message and its answer pass as they are, but for the id.
func TestExchange(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			message := updateMessage(t)
			got := make(chan []byte, 1)
			s := serve(t, kind, func(c *conversation) {
				got <- c.query
				_ = c.say(answerTo(c.query))
			})
			u := newUser(t)
			for range 2 {
				u.start(Job{Message: message, Once: true}, lanetest.Patience, s)
				r := u.receive()
				if query := <-got; !bytes.Equal(query[2:], message[2:]) {
					t.Errorf("sent %x", query)
				}
				if r.Fault != transport.FaultNone || !bytes.Equal(r.Msg, answerTo(message)) {
					t.Errorf("received %v, %x", r.Fault, r.Msg)
				}
			}
			if n := s.asked.Load(); n != 2 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestOnce: what may take effect twice goes to a second upstream, what may not goes there only if the first one was not reached.
func TestOnce(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "quic", "https"} {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			dying := serve(t, kind, func(c *conversation) { _ = c.write([]byte{0, 0}) })
			good := serve(t, kind, func(c *conversation) { _ = c.say(answerTo(c.query)) })
			gone := serve(t, "tcp", func(*conversation) {})
			gone.end.Addresses.Store(nil)
			u := newUser(t)
			for _, test := range []struct {
				once  bool
				to    []*server
				fault transport.Fault
			}{
				{false, []*server{dying, good}, transport.FaultNone},
				{true, []*server{gone, good}, transport.FaultNone},
				{true, []*server{gone}, transport.FaultDial},
			} {
				u.start(Job{Message: updateMessage(t), Once: test.once}, lanetest.Patience, test.to...)
				if r := u.receive(); r.Fault != test.fault {
					t.Errorf("once %v: %v", test.once, r.Fault)
				}
			}
			before := good.asked.Load()
			u.start(Job{Message: updateMessage(t), Once: true}, lanetest.Patience, dying, good)
			if r := u.receive(); r.Fault == transport.FaultNone || good.asked.Load() != before {
				t.Errorf("sent again: %v, asked %d times", r.Fault, good.asked.Load()-before)
			}
		})
	}
}

// TestNoAnswers: what is none is a fault, and says which.
func TestNoAnswers(t *testing.T) {
	lanetest.NoLeaks(t)
	u := newUser(t)
	for name, test := range map[string]struct {
		say   func(c *conversation) error
		fault transport.Fault
	}{
		"another id":     {func(c *conversation) error { msg := answerTo(c.query); msg[0]++; return c.say(msg) }, transport.FaultProtocol},
		"a query":        {func(c *conversation) error { return c.say(c.query) }, transport.FaultProtocol},
		"another opcode": {func(c *conversation) error { msg := answerTo(c.query); msg[2] ^= 0x08; return c.say(msg) }, transport.FaultProtocol},
		"short":          {func(c *conversation) error { return c.say(answerTo(c.query)[:11]) }, transport.FaultProtocol},
		"half":           {func(c *conversation) error { return c.write([]byte{0, 20, 1, 2}) }, transport.FaultClosed},
		"nothing":        {func(*conversation) error { return nil }, transport.FaultClosed},
	} {
		s := serve(t, "tcp", func(c *conversation) { _ = test.say(c) })
		u.start(Job{Message: updateMessage(t)}, lanetest.Patience, s)
		if r := u.receive(); r.Fault != test.fault {
			t.Errorf("%s: %v, want %v", name, r.Fault, test.fault)
		}
	}
}

// TestSilence: a server that says nothing costs the job's time, or its share of it.
func TestSilence(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			over := make(chan struct{})
			silent := serve(t, kind, func(*conversation) { <-over })
			good := serve(t, kind, func(c *conversation) { _ = c.say(answerTo(c.query)) })
			u := newUser(t)
			u.start(Job{Message: updateMessage(t), Once: true}, 300*time.Millisecond, silent, good)
			if r := u.receive(); r.Fault != transport.FaultTimeout && r.Fault != transport.FaultDial { // of a slow machine
				t.Errorf("sent once: %v", r.Fault)
			}
			// Each has its share of the time, the silent one a fortieth.
			to := append([]*server{silent}, slices.Repeat([]*server{good}, 39)...)
			u.start(Job{Message: updateMessage(t)}, 20*time.Second, to...)
			if r := u.receive(); r.Fault != transport.FaultNone {
				t.Errorf("sent again: %v", r.Fault)
			}
			close(over)
		})
	}
}

// TestClose: what is under way when the Line is closed has its reply, and nothing is left.
func TestClose(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			lanetest.NoLeaks(t)
			over, asked := make(chan struct{}), make(chan struct{}, 1)
			s := serve(t, kind, func(*conversation) { asked <- struct{}{}; <-over })
			u := newUser(t)
			u.start(Job{Message: updateMessage(t)}, lanetest.Patience, s)
			<-asked
			u.close()
			if r := u.receive(); r.Fault == transport.FaultNone {
				t.Error("there is an answer")
			}
			close(over)
		})
	}
}
