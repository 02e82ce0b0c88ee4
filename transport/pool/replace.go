package pool

import (
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// lookForStalls marks connections whose server shows no sign of life while queries wait, and unmarks those that woke up. mu is held.
func (d *driver) lookForStalls(now time.Duration) {
	for _, c := range d.conns {
		c.stalled = c.silentSince != 0 && c.starter.Stalled(now, d.end.DeadAfter/stallShare)
	}
}

// replacementWanted reports whether every connection has stalled. mu is held.
func (d *driver) replacementWanted() bool {
	return len(d.conns) > 0 && !slices.ContainsFunc(d.conns, func(c *conn) bool { return !c.stalled })
}

// replace lets fresh, whose server has just proved that it lives, take over from the connections that have stalled: they are retired, and
// their queries start anew on fresh, each at most once.
func (d *driver) replace(fresh *conn) {
	now := transport.Now()
	var stalled []*conn
	d.mu.Lock()
	for _, c := range slices.Clone(d.conns) {
		if c != fresh && c.stalled {
			d.retire(c, now)
			stalled = append(stalled, c)
		}
	}
	d.mu.Unlock()
	for _, c := range stalled {
		d.lane.Counters().Stalled.Add(1)
		d.move(c)
	}
}

// move starts the queries of a retired connection on another, and closes it.
func (d *driver) move(c *conn) {
	calls := c.starter.Recall()
	d.mu.Lock()
	c.outstanding -= len(calls)
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
