package dot

import (
	"time"

	"secure-dns-proxy/transport"
)

// A connection that has done its share (Endpoint.MaxQueries, MaxAge) is replaced before it is closed: its successor is dialed while it
// goes on taking queries, and only when that stands is it retired. A retired connection takes no more queries, finishes what it owes and
// says goodbye. Nothing waits for that: where no successor can be had, the old connection stays in use beyond its share.
//
// A server that wants its connection closed (RFC 7828 §3.2.2, a timeout of 0) gets no more queries at once.

// spent reports whether c has done its share, and which. mu is held.
func (c *conn) spent(now time.Duration) (transport.Retirement, bool) {
	if c.announced && c.theirs == 0 {
		return transport.RetiredKeepalive, true
	}
	return c.share.Spent(c.taken, now)
}

// patience returns how long c may idle and what ends it then. mu is held.
func (c *conn) patience(ours time.Duration) (time.Duration, transport.Retirement) {
	if c.announced && c.theirs < ours {
		return c.theirs, transport.RetiredKeepalive
	}
	return ours, transport.RetiredIdle
}

// renew looks for connections that have done their share. A successor is dialed only for those in use or kept: for one that idles there is
// time when the next query comes, which it still takes.
func (d *driver) renew(now time.Duration) {
	wanted := false
	for i := 0; i < len(d.conns); i++ {
		c := d.conns[i]
		c.mu.Lock()
		reason, spent := c.spent(now)
		used := c.table.used() > 0 || c.taken != c.seen || d.keeps(c)
		c.seen = c.taken
		if d.keeps(c) && c.announced && c.theirs >= keptMin && c.table.used() == 0 && now-c.lastUse >= c.theirs {
			reason, spent = transport.RetiredKeepalive, true
		}
		c.overdue, c.reason = spent, reason
		refused := c.announced && c.theirs == 0
		c.mu.Unlock()
		switch {
		case refused && len(d.retired) < retiredMax:
			d.retire(i)
			i--
			d.rested = true
		case spent && used:
			wanted = true
		}
	}
	if wanted && len(d.retired) < retiredMax && d.backoff.Ready(now) {
		d.dial()
	}
}

// succeed retires the connection whose successor has come.
func (d *driver) succeed() {
	for i, c := range d.conns[:len(d.conns)-1] {
		if c.overdue && len(d.retired) < retiredMax {
			d.retire(i)
			return
		}
	}
}

// retire gives the connection of index i no more queries.
func (d *driver) retire(i int) {
	c := d.conns[i]
	d.lane.Counters().Retired[c.reason].Add(1)
	d.conns = append(d.conns[:i], d.conns[i+1:]...)
	d.retired = append(d.retired, c)
}

// dismiss fails what is past its deadline on retired connections, and closes those that owe nothing more. Whether they are dead does not
// matter any more: what is still owed has its deadline. Where connections do their share without ever answering, because it is that small and
// nobody asks, the back-off spaces them.
func (d *driver) dismiss(now time.Duration) {
	for i := 0; i < len(d.retired); i++ {
		c := d.retired[i]
		c.mu.Lock()
		d.late = c.table.expire(now, d.grace, d.late[:0])
		done := c.table.live == 0
		proven := c.answered || now-c.opened >= transport.ProvenAfter
		c.mu.Unlock()
		d.failLate()
		if done {
			d.retired = append(d.retired[:i], d.retired[i+1:]...)
			i--
			c.close()
			d.backoff.Ended(proven, now)
		}
	}
}
