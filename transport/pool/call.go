package pool

import (
	"encoding/binary"
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// Call is one query of the lane, from the moment the driver takes it until it has its reply.
type Call struct {
	Deadline time.Duration // since Base

	driver    *driver
	conn      *conn // that it was last started on
	waits     queued
	slot, gen uint32
	end       int  // of the question section in the query
	size      int  // of the query
	again     bool // this is its second connection, or its second try on the first
	framed    [2 + transport.QueryBytesMax]byte
}

// Framed returns the 2-byte length and the query, with id 0. It is valid until Finish.
func (c *Call) Framed() []byte { return c.framed[:2+c.size] }

// Query returns the query alone.
func (c *Call) Query() []byte { return c.framed[2 : 2+c.size] }

// Is reports whether this is the query submitted as (slot, gen).
func (c *Call) Is(slot, gen uint32) bool { return c.slot == slot && c.gen == gen }

// Finish ends what Start began; the call, and r.Answer, are the caller's no longer and still the caller's, in that order. Whoever
// finishes a call calls Lane.Publish when it has no more to finish at the moment.
func (c *Call) Finish(r Result) { c.driver.finish(c, r) }

// newCall returns a call for r, whose question ends at end.
func (d *driver) newCall(r transport.Request, end int) *Call {
	c := d.calls.Get().(*Call)
	c.conn, c.again = nil, false
	c.slot, c.gen, c.Deadline, c.end, c.size = r.Slot, r.Gen, r.Deadline, end, len(r.Query)
	binary.BigEndian.PutUint16(c.framed[:], uint16(c.size))
	copy(c.framed[2:], r.Query)
	c.framed[2], c.framed[3] = 0, 0 // id: RFC 9250 §4.2.1, RFC 8484 §4.1
	d.running.Add(1)
	return c
}

// finish replies to c, or starts it once more: a query whose connection closed, or that the server refused unseen.
func (d *driver) finish(c *Call, r Result) {
	good := r.Outcome == Answered && len(r.Answer) >= 12 && transport.Answers(c.Query(), c.end, r.Answer)
	dead := d.release(c, r.Outcome, good)
	switch {
	case good:
		d.lane.Answer(c.slot, c.gen, r.Answer)
		d.forget(c)
	case r.Outcome == Answered:
		d.lane.Counters().Mismatched.Add(1)
		d.fail(c, transport.FaultProtocol)
	case d.ctx.Err() != nil:
		d.fail(c, transport.FaultShutdown)
	case dead:
		d.fail(c, transport.FaultClosed)
	case r.Outcome == Expired || r.Outcome == Unwanted || transport.Now() >= c.Deadline:
		d.fail(c, transport.FaultTimeout)
	case r.Outcome == Declined:
		d.fail(c, r.Fault)
	case r.Outcome == Refused && c.again:
		d.fail(c, transport.FaultFull)
	case r.Outcome == Lost || c.again:
		d.fail(c, transport.FaultClosed)
	default:
		d.retry(c)
	}
}

// retry starts c for the second time.
func (d *driver) retry(c *Call) {
	c.again = true
	d.lane.Counters().Retried.Add(1)
	d.place(c)
}

// fail replies to c with a fault.
func (d *driver) fail(c *Call, fault transport.Fault) {
	if c.again && (fault == transport.FaultDial || fault == transport.FaultTLS) {
		fault = transport.FaultClosed // it had a connection
	}
	d.lane.Fail(c.slot, c.gen, fault)
	d.forget(c)
}

// forget gives c back. It has its reply.
func (d *driver) forget(c *Call) {
	d.running.Add(-1)
	d.calls.Put(c)
}

// cancel gives up a query that nobody waits for: its stream is reset, its reply is FaultTimeout.
func (d *driver) cancel(r transport.Request) {
	slot, gen, as := r.Slot, r.Gen, Unwanted
	if r.Late {
		as = Expired
	}
	d.mu.Lock()
	conns := slices.Clone(d.all)
	i := slices.IndexFunc(d.waiting, func(c *Call) bool { return c.Is(slot, gen) })
	var waiting *Call
	if i >= 0 {
		waiting = d.waiting[i]
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
	d.mu.Unlock()
	if waiting != nil {
		d.fail(waiting, transport.FaultTimeout)
	}
	if waiting != nil || slices.ContainsFunc(conns, func(c *conn) bool { return c.starter.Cancel(slot, gen, as) }) {
		d.lane.Counters().Cancelled.Add(1)
	}
}
