package pool

import "time"

// silence is for how long nothing has come from the server of a connection while somebody had reason to wait. A query counts while it is
// outstanding, and after it had its time in vain; one that was given up before does not, for no server could have answered it: those that
// lose a race would have every slower connection taken for dead. Guarded by the driver's lock.
type silence struct {
	first, last *Call         // outstanding, in the order in which they began
	heard       time.Duration // since Base: when the server last answered something
	vain        time.Duration // the first query since then that had its time began to wait; 0: there is none
}

// queued is what a call needs to be in a silence.
type queued struct {
	since          time.Duration // when it began
	previous, next *Call
}

// since returns when the silence began, as a time since Base; 0: there is none.
func (s *silence) since() time.Duration {
	if s.first == nil {
		return s.vain
	}
	waited := max(s.first.waits.since, s.heard)
	if s.vain != 0 {
		waited = min(waited, s.vain)
	}
	return waited
}

// begin notes that c waits from now on.
func (s *silence) begin(c *Call, now time.Duration) {
	c.waits = queued{since: now, previous: s.last}
	if s.last == nil {
		s.first = c
	} else {
		s.last.waits.next = c
	}
	s.last = c
}

// end notes that c waits no longer, which says nothing.
func (s *silence) end(c *Call) {
	before, after := c.waits.previous, c.waits.next
	if before == nil {
		s.first = after
	} else {
		before.waits.next = after
	}
	if after == nil {
		s.last = before
	} else {
		after.waits.previous = before
	}
	c.waits = queued{}
}

// kept notes that c had its time in vain.
func (s *silence) kept(c *Call) {
	if since := max(c.waits.since, s.heard); s.vain == 0 || since < s.vain {
		s.vain = since
	}
	s.end(c)
}

// broken notes that something came for c.
func (s *silence) broken(c *Call, now time.Duration) {
	s.heard, s.vain = now, 0
	s.end(c)
}
