package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// conn is a connection and what the driver knows about it, guarded by the driver's lock.
type conn struct {
	Conn
	starter     Starter
	address     netip.AddrPort
	opened      time.Duration // since Base
	lastUse     time.Duration
	silence     silence
	outstanding int
	answered    bool
	ready       bool // the server has proved who it is
	stalled     bool // no sign of life: another connection is to take over
	worn        bool // it has done its share, for this reason: another connection is to take over
	reason      transport.Retirement
	share       transport.Quota
	taken, seen int  // queries so far, and when last looked at
	retired     bool // takes no more queries, and is no longer in driver.conns
	dead        bool // retired because it was silent for DeadAfter
	judged      bool // its end is known to the back-off
}

var errDead = errors.New("no answer") // DeadAfter

// place starts c on a connection, or keeps it for the dial under way, or fails it. It is kept only if the dial before succeeded: while
// the upstream is failing the worker had better go elsewhere at once.
func (d *driver) place(c *Call) {
	now := transport.Now()
	d.mu.Lock()
	if best := d.leastBusy(); best != nil {
		if best.outstanding >= growOutstanding && len(d.conns) < d.end.Conns && d.backoff.Ready(now) {
			d.dial()
		}
		best.outstanding++
		best.taken++
		best.lastUse = now
		c.conn = best
		best.silence.begin(c, now)
		d.mu.Unlock()
		best.starter.Start(c)
		return
	}
	fault := transport.FaultShutdown
	if d.ctx.Err() == nil {
		if d.backoff.Ready(now) {
			d.dial()
		}
		if d.dialing && !d.backoff.Failing() {
			d.waiting = append(d.waiting, c) // shutdown comes after ctx has ended, and takes the lock
			d.mu.Unlock()
			return
		}
		d.wanted = true
		fault = d.refusal
	}
	d.mu.Unlock()
	d.fail(c, fault)
}

// leastBusy returns the connection with the fewest queries, a stalled one only if there is no other; nil if there is none. mu is held.
func (d *driver) leastBusy() (best *conn) {
	for _, c := range d.conns {
		if best == nil || best.stalled && !c.stalled || best.stalled == c.stalled && c.outstanding < best.outstanding {
			best = c
		}
	}
	return best
}

// release ends what place began, with the outcome and whether it was a good answer, and reports whether the connection was found
// dead meanwhile.
func (d *driver) release(call *Call, outcome Outcome, good bool) (dead bool) {
	now, c := transport.Now(), call.conn
	d.mu.Lock()
	c.outstanding--
	switch outcome {
	case Answered, Declined, Refused:
		c.lastUse = now
		c.silence.broken(call, now)
	case Expired:
		c.silence.kept(call)
	default:
		c.silence.end(call)
	}
	first := good && !c.answered
	if good {
		c.answered, d.suspected = true, false
	}
	if outcome == Closing || outcome == Lost {
		d.retire(c, now)
	}
	last := c.retired && c.outstanding == 0
	if last {
		d.judge(c, now)
	}
	dead = c.dead
	d.mu.Unlock()
	if last {
		c.Close()
	}
	if first {
		d.end.AddressWorked(c.address)
		d.lane.Up()
	}
	return dead
}

// retire gives c no more queries. mu is held.
func (d *driver) retire(c *conn, now time.Duration) {
	if c.retired {
		return
	}
	c.retired = true
	d.conns = slices.DeleteFunc(d.conns, func(x *conn) bool { return x == c })
	if c.outstanding == 0 {
		d.judge(c, now)
	}
}

// judge keeps the back-off, once a retired connection owes nothing more: its last answers may be looked at after it has ended. mu is held.
func (d *driver) judge(c *conn, now time.Duration) {
	switch {
	case c.judged:
	case !c.ready:
		d.backoff.Fail(now) // as a dial that failed
	default:
		d.backoff.Ended(c.answered || !c.dead && now-c.opened >= transport.ProvenAfter, now)
	}
	c.judged = true
}

// bury notes that c has ended, whoever ended it.
func (d *driver) bury(c *conn) {
	orderly, reason := c.Reason()
	d.mu.Lock()
	d.retire(c, transport.Now())
	d.all = slices.DeleteFunc(d.all, func(x *conn) bool { return x == c })
	down := !orderly && d.ctx.Err() == nil
	d.suspected = d.suspected || down
	outstanding := c.outstanding
	d.mu.Unlock()
	c.Close()
	if down {
		d.end.AddressFailed(c.address, transport.Now(), reason)
		d.lane.Down(fmt.Errorf("%s at %s: connection lost with %d queries outstanding: %w", d.end.Name, c.address, outstanding, reason))
	}
	d.lane.Notify()
}
