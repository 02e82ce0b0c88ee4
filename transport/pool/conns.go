package pool

import (
	"context"
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
	address     netip.AddrPort
	opened      time.Duration // since Base
	lastUse     time.Duration
	silentSince time.Duration // the first query since then got no answer, nor did later ones; 0: no such query
	outstanding int
	answered    bool
	retired     bool // takes no more queries, and is no longer in driver.conns
	dead        bool // retired because it was silent for DeadAfter
	judged      bool // its end is known to the back-off
}

// attempt is a dial under way.
type attempt struct {
	done  chan struct{}   // closed when decided
	fault transport.Fault // then: FaultNone, or why there is no connection
}

var errDead = errors.New("no answer") // DeadAfter

// acquire returns a connection with one more query on it, to be given to release, or why there is none. It waits for a dial only if
// the one before succeeded; while the upstream is failing the worker had better go elsewhere at once.
func (d *driver) acquire(ctx context.Context) (*conn, transport.Fault) {
	for d.ctx.Err() == nil {
		now := transport.Now()
		d.mu.Lock()
		if c := d.leastBusy(); c != nil {
			if c.outstanding >= growOutstanding && len(d.conns) < d.end.Conns && d.backoff.Ready(now) {
				d.dial()
			}
			c.outstanding++
			c.lastUse = now
			if c.silentSince == 0 {
				c.silentSince = now
			}
			d.mu.Unlock()
			return c, transport.FaultNone
		}
		if d.dialing == nil && d.backoff.Ready(now) {
			d.dial()
		}
		a := d.dialing
		if a == nil && d.ctx.Err() != nil {
			d.mu.Unlock()
			break // dial does nothing any more
		}
		if a == nil || d.backoff.Failing() {
			d.wanted = true
			d.mu.Unlock()
			return nil, transport.FaultDial
		}
		d.mu.Unlock()
		select {
		case <-a.done:
			if a.fault != transport.FaultNone && d.ctx.Err() == nil {
				return nil, a.fault
			}
		case <-ctx.Done():
			if d.ctx.Err() == nil {
				return nil, transport.FaultTimeout
			}
		}
	}
	return nil, transport.FaultShutdown
}

// leastBusy returns the connection with the fewest queries, or nil. mu is held.
func (d *driver) leastBusy() (best *conn) {
	for _, c := range d.conns {
		if best == nil || c.outstanding < best.outstanding {
			best = c
		}
	}
	return best
}

// release ends what acquire began, with the outcome and whether it was a good answer, and reports whether the connection was found
// dead meanwhile.
func (d *driver) release(c *conn, outcome Outcome, good bool) (dead bool) {
	now := transport.Now()
	d.mu.Lock()
	c.outstanding--
	if outcome == Answered || outcome == Declined || outcome == Refused {
		c.lastUse, c.silentSince = now, 0
		if c.outstanding > 0 {
			c.silentSince = now
		}
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
	if !c.judged {
		c.judged = true
		d.backoff.Ended(c.answered || !c.dead && now-c.opened >= transport.ProvenAfter, now)
	}
}

// dial starts an attempt to connect, unless one is under way: one handshake at a time for each lane. mu is held.
func (d *driver) dial() {
	if d.dialing != nil || d.ctx.Err() != nil {
		return
	}
	a := &attempt{done: make(chan struct{})}
	d.dialing, d.wanted = a, false
	d.group.Go(func() { d.connect(a) })
}

// connect is the goroutine of one dial, and of the connection it leads to: it stays until that has ended.
func (d *driver) connect(a *attempt) {
	made, address, err := transport.TryAddresses(d.ctx, d.end, d.lane.Counters(), transport.Dialer[Conn]{Try: d.protocol.Dial, Discard: Conn.Close})
	now := transport.Now()
	d.mu.Lock()
	d.dialing = nil
	if err != nil {
		a.fault = transport.FaultOf(err)
		d.backoff.Fail(now)
		down := len(d.conns) == 0 && d.ctx.Err() == nil
		d.mu.Unlock()
		close(a.done)
		if down {
			d.lane.Down(err)
		}
		d.lane.Notify()
		return
	}
	c := &conn{Conn: made, address: address, opened: now, lastUse: now}
	stopped, up := d.ctx.Err() != nil, !d.suspected
	if !stopped {
		d.wanted = false
		d.conns = append(d.conns, c)
	}
	d.mu.Unlock()
	close(a.done)
	counters := d.lane.Counters()
	if made.Resumed() {
		counters.Resumed.Add(1)
	}
	if up {
		d.lane.Up()
	}
	counters.Open.Add(1)
	if stopped {
		made.Close()
	}
	d.lane.Notify()
	<-made.Ended()
	counters.Open.Add(-1)
	d.bury(c)
}

// bury notes that c has ended, whoever ended it.
func (d *driver) bury(c *conn) {
	orderly, reason := c.Reason()
	d.mu.Lock()
	d.retire(c, transport.Now())
	down := !orderly && d.ctx.Err() == nil
	d.suspected = d.suspected || down
	outstanding := c.outstanding
	d.mu.Unlock()
	c.Close()
	if down {
		d.end.AddressFailed(c.address, transport.Now())
		d.lane.Down(fmt.Errorf("%s at %s: connection lost with %d queries outstanding: %w", d.end.Name, c.address, outstanding, reason))
	}
	d.lane.Notify()
}

// sweep ends connections that are dead or idle, dials for those who do not ask, and returns when to look again: 0 = never.
func (d *driver) sweep(now time.Duration) (next time.Duration) {
	d.mu.Lock()
	var dead, idle []*conn
	for _, c := range d.conns {
		switch {
		case c.silentSince != 0 && now-c.silentSince > d.end.DeadAfter:
			dead = append(dead, c)
		case c.silentSince == 0 && c.outstanding == 0 && now-c.lastUse > d.end.IdleTimeout && !(d.end.Prewarm && len(d.conns) == 1):
			idle = append(idle, c)
		}
	}
	ended := slices.Concat(idle, dead)
	for _, c := range ended {
		c.dead = c.silentSince != 0
		d.suspected = d.suspected || c.dead
		d.retire(c, now)
	}
	if len(d.conns) == 0 && (d.end.Prewarm || d.wanted) && d.backoff.Ready(now) {
		d.dial()
	}
	next = d.nextEvent(now)
	d.mu.Unlock()
	for _, c := range ended {
		c.Close()
	}
	for _, c := range dead {
		d.lane.Counters().Dead.Add(1)
		d.end.AddressFailed(c.address, now)
		d.lane.Down(fmt.Errorf("%s at %s: connection lost: %w for %v", d.end.Name, c.address, errDead, d.end.DeadAfter))
	}
	return next
}

// nextEvent returns when the driver must look again though nobody called it: 0 = never. mu is held.
func (d *driver) nextEvent(now time.Duration) (next time.Duration) {
	earlier := func(t time.Duration) {
		if next == 0 || t < next {
			next = t
		}
	}
	if len(d.conns) == 0 && d.dialing == nil && (d.end.Prewarm || d.wanted) {
		earlier(max(d.backoff.Until(), now+time.Millisecond))
	}
	if d.running.Load() > 0 {
		earlier(now + d.tick) // any of them may be about to acquire a connection, or to be turned away
	}
	for _, c := range d.conns {
		if c.silentSince != 0 {
			earlier(now + d.tick)
		} else if !d.end.Prewarm || len(d.conns) > 1 {
			earlier(c.lastUse + d.end.IdleTimeout + time.Millisecond)
		}
	}
	return next
}
