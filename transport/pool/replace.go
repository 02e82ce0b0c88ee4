package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// A connection that has done its share (Endpoint.MaxQueries, MaxAge), or whose server shows no sign of life, is replaced: its successor is
// dialed while it is still used, for limits and doubts are no reason to fail queries. When the successor's server has proved who it is, the
// old one gets no more queries. What it owes it finishes; if it has stalled, the successor takes that over.

var errStalled = errors.New("nothing came from the server any more")

// lookOver marks the connections that are to be replaced, and reports whether a successor is wanted now: for one that has done its share only
// if it is in use or kept, for one that has stalled only if there is no other. mu is held.
func (d *driver) lookOver(now time.Duration) (wanted bool) {
	alive := false
	for _, c := range d.conns {
		c.stalled = c.silence.since() != 0 && c.starter.Stalled(now, d.end.DeadAfter/stallShare)
		alive = alive || !c.stalled
		c.reason, c.worn = c.share.Spent(c.taken, now)
		used := c.outstanding > 0 || c.taken != c.seen || d.keeps(c)
		c.seen = c.taken
		wanted = wanted || c.worn && used
	}
	return (wanted || !alive && len(d.conns) > 0) && len(d.all)-len(d.conns) < leavingMax
}

// keeps reports whether c is the connection that is kept up without queries. mu is held.
func (d *driver) keeps(c *conn) bool { return d.end.Prewarm && len(d.conns) == 1 && d.conns[0] == c }

// replace lets fresh, whose server has just proved that it lives, take over from the connections that have stalled: they are retired, and
// their queries start anew on fresh, each at most once. If there are none, it takes over from one that has done its share.
func (d *driver) replace(fresh *conn) {
	now := transport.Now()
	counters := d.lane.Counters()
	var stalled []*conn
	var unused *conn
	d.mu.Lock()
	for _, c := range slices.Clone(d.conns) {
		if c != fresh && c.stalled {
			d.retire(c, now)
			stalled = append(stalled, c)
		}
	}
	worn := slices.IndexFunc(d.conns, func(c *conn) bool { return c != fresh && c.worn })
	if len(stalled) == 0 && worn >= 0 {
		c := d.conns[worn]
		counters.Retired[c.reason].Add(1)
		d.retire(c, now)
		if c.outstanding == 0 {
			unused = c
		}
	}
	d.mu.Unlock()
	if unused != nil {
		unused.Close()
	}
	for _, c := range stalled {
		counters.Stalled.Add(1)
		d.move(c)
	}
}

// move starts the queries of a retired connection on another, and closes it.
func (d *driver) move(c *conn) {
	calls := c.starter.Recall()
	d.lane.Notice(fmt.Sprintf("connection to %s replaced, %d queries moved", c.address, len(calls)), errStalled)
	d.mu.Lock()
	c.outstanding -= len(calls)
	for _, call := range calls {
		c.silence.end(call)
	}
	last := c.outstanding == 0
	if last {
		d.judge(c, transport.Now())
	}
	d.mu.Unlock()
	for _, call := range calls {
		if call.again {
			d.fail(call, transport.FaultClosed)
		} else {
			d.retry(call)
		}
	}
	d.lane.Publish()
	if last {
		c.Close()
	}
}
