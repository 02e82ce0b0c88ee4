package pool

import (
	"fmt"
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// sweep ends calls that are late and connections that are dead or idle, dials for those who do not ask, and returns when to look again:
// 0 = never.
func (d *driver) sweep(now time.Duration) (next time.Duration) {
	d.expire(now)
	d.mu.Lock()
	var dead, idle []*conn
	for _, c := range d.conns {
		silent := c.silence.since()
		switch {
		case silent != 0 && now-silent > d.end.DeadAfter:
			dead = append(dead, c)
		case silent == 0 && c.outstanding == 0 && now-c.lastUse > d.idle && !(d.end.Prewarm && len(d.conns) == 1):
			idle = append(idle, c)
		}
	}
	ended := slices.Concat(idle, dead)
	for _, c := range ended {
		c.dead = c.silence.since() != 0
		d.suspected = d.suspected || c.dead
		d.retire(c, now)
	}
	for range idle {
		d.lane.Counters().Retired[transport.RetiredIdle].Add(1)
	}
	wanted := d.lookOver(now) || len(d.conns) == 0 && (d.end.Prewarm || d.wanted)
	if wanted && d.backoff.Ready(now) {
		d.dial()
	}
	next = d.nextEvent(now, wanted)
	d.mu.Unlock()
	for _, c := range ended {
		c.Close()
	}
	for _, c := range dead {
		d.lane.Counters().Dead.Add(1)
		d.end.AddressFailed(c.address, now, errDead)
		d.lane.Down(fmt.Errorf("%s at %s: connection lost: %w for %v", d.end.Name, c.address, errDead, d.end.DeadAfter))
	}
	d.lane.Publish()
	return next
}

// expire ends the calls whose deadline has passed.
func (d *driver) expire(now time.Duration) {
	if d.running.Load() == 0 {
		return
	}
	var late []*Call
	d.mu.Lock()
	conns := slices.Clone(d.all)
	d.waiting = slices.DeleteFunc(d.waiting, func(c *Call) bool {
		if now < c.Deadline {
			return false
		}
		late = append(late, c)
		return true
	})
	d.mu.Unlock()
	for _, c := range late {
		d.fail(c, transport.FaultTimeout)
	}
	for _, c := range conns {
		c.starter.Expire(now)
	}
}

// nextEvent returns when the driver must look again though nobody called it: 0 = never. wanted: for a dial. mu is held.
func (d *driver) nextEvent(now time.Duration, wanted bool) (next time.Duration) {
	earlier := func(t time.Duration) {
		if t != 0 && (next == 0 || t < next) {
			next = t
		}
	}
	if !d.dialing && wanted {
		earlier(max(d.backoff.Until(), now+time.Millisecond))
	}
	if d.running.Load() > 0 {
		earlier(now + d.tick)
	}
	for _, c := range d.conns {
		if d.keeps(c) && !c.worn {
			earlier(c.share.Until)
		}
		if c.silence.since() != 0 {
			earlier(now + d.tick)
		} else if !d.end.Prewarm || len(d.conns) > 1 {
			earlier(c.lastUse + d.idle + time.Millisecond)
		}
	}
	earlier(d.residents.quiet(now))
	return next
}
