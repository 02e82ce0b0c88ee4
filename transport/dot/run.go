package dot

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"secure-dns-proxy/transport"
)

// driver is the state of one lane. Its goroutine alone touches it; connections and dials report through the lane's Notify.
type driver struct {
	ctx   context.Context
	lane  *transport.Lane
	end   *transport.Endpoint
	group sync.WaitGroup // goroutines of connections and dials
	conns []*conn        // at most end.Conns, and one that is to succeed another

	retired []*conn // at most retiredMax: they take no more queries

	front     transport.Request // the query to be placed next, if hasFront; its view is the lane's, or a retry's copy
	hasFront  bool
	frontOld  uint8 // how often front has been sent before; not 0: it comes from retries
	retries   []retry
	late      []due // scratch
	tick      time.Duration
	grace     time.Duration
	nextSweep time.Duration

	refusal   transport.Fault // why queries are turned away when there is no connection: FaultDial, or FaultFull if a cap of ours is reached
	dialing   bool
	dialed    chan dialed // of the dial under way
	backoff   transport.Backoff
	wanted    bool // a query came while none could be taken: dial as soon as the back-off allows
	suspected bool // the last connection ended badly: only an answer counts as Up, not a handshake
	rested    bool // the server wants no idle connection for long: the next one is for the next query, Prewarm or not
}

// retry is a query caught in flight by a close, to be sent once more: for the time numbered resent.
type retry struct {
	due      due
	deadline time.Duration
	resent   uint8
	query    []byte
}

type dialed struct {
	stream  net.Conn
	address netip.AddrPort
	place   transport.Place
	err     error
}

// Run drives a lane to a tcp or tls endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every
// query it took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	end := lane.Endpoint()
	d := &driver{
		ctx: ctx, lane: lane, end: end, refusal: transport.FaultDial,
		dialed: make(chan dialed, 1),
		tick:   min(max(end.DeadAfter/4, sweepMin), sweepMax),
		grace:  max(lateGrace, 2*end.DeadAfter), // silence must be noticed before the ids that tell of it are freed
	}
	for ctx.Err() == nil {
		now := transport.Now()
		d.collect(now)
		if now >= d.nextSweep {
			d.sweep(now)
			d.nextSweep = now + d.tick
		}
		d.pump(now)
		d.renew(now)
		d.dismiss(now)
		d.maintain(now)
		d.lane.Publish()
		wait := lane.Wait
		if d.hasFront {
			wait = lane.Nap // a writer or a dial has to make room first, and calls
		}
		// The error is that of ctx, which the loop looks at.
		_ = wait(ctx, d.nextEvent(now))
	}
	d.shutdown()
}

// nextEvent returns when the driver must look again though nobody called it: 0 = never.
func (d *driver) nextEvent(now time.Duration) time.Duration {
	next := time.Duration(0)
	earlier := func(t time.Duration) {
		if next == 0 || t < next {
			next = t
		}
	}
	if d.hasFront || len(d.retries) > 0 || len(d.retired) > 0 {
		earlier(now + d.tick)
	}
	again := max(d.backoff.Until(), now+time.Millisecond) // the next dial
	if !d.dialing && d.wantsDial() {
		earlier(again)
	}
	for _, c := range d.conns {
		c.mu.Lock()
		limit, _ := c.patience(d.end.IdleTimeout)
		switch {
		case c.table.used() > 0 || c.writeSince != 0:
			earlier(now + d.tick)
		case !d.keeps(c):
			earlier(max(c.lastUse+limit, d.nextSweep))
		case c.overdue: // renewed when there is room, of which the tick tells, and the back-off allows
			if !d.dialing && len(d.retired) < retiredMax {
				earlier(again)
			}
		default:
			if c.announced {
				earlier(max(c.lastUse+c.theirs, d.nextSweep))
			}
			if c.share.Until != 0 {
				earlier(c.share.Until)
			}
		}
		c.mu.Unlock()
	}
	return next
}

// keeps reports whether c stays open though idle.
func (d *driver) keeps(c *conn) bool { return d.end.Prewarm && len(d.conns) == 1 && d.conns[0] == c }

// collect takes in what dials and connections have reported.
func (d *driver) collect(now time.Duration) {
	select {
	case r := <-d.dialed:
		d.dialing = false
		d.settle(r, now)
	default:
	}
	d.conns = d.mourn(d.conns, now)
	d.retired = d.mourn(d.retired, now)
}

// mourn buries the lost ones of list and returns the others.
func (d *driver) mourn(list []*conn, now time.Duration) []*conn {
	for i := 0; i < len(list); i++ {
		c := list[i]
		c.mu.Lock()
		lost := c.lost
		c.mu.Unlock()
		if lost != nil {
			list = append(list[:i], list[i+1:]...)
			i--
			d.bury(c, lost, now)
		}
	}
	return list
}

// pump places queries on connections until there are none, or none can be placed now.
func (d *driver) pump(now time.Duration) {
	if d.ctx.Err() != nil {
		return // a dial that was cancelled is no reason to fail them: shutdown does
	}
	for d.peek() {
		if now >= d.front.Deadline {
			d.fail(transport.FaultTimeout)
			continue
		}
		c, busy := d.choose(now)
		switch {
		case c != nil:
			d.fill(c, now)
		case busy:
			return // a writer will call
		case len(d.conns) > 0:
			d.fail(transport.FaultFull)
		case d.hold(now):
			return
		default:
			d.turnAway(d.refusal)
		}
	}
}

// peek makes front the next query, retries first; false if there is none.
func (d *driver) peek() bool {
	if d.hasFront {
		return true
	}
	if len(d.retries) > 0 {
		r := d.retries[0]
		d.front = transport.Request{Slot: r.due.slot, Gen: r.due.gen, Deadline: r.deadline, Query: r.query}
		d.hasFront, d.frontOld = true, r.resent
		if d.retries = d.retries[1:]; len(d.retries) == 0 {
			d.retries = nil // the array goes with the last copy
		}
		return true
	}
	for {
		d.front, d.hasFront = d.lane.Next()
		d.frontOld = 0
		if !d.front.Cancel { // a frame that has left cannot be called back
			return d.hasFront
		}
	}
}

// fail replies to front with f.
func (d *driver) fail(f transport.Fault) {
	d.lane.Fail(d.front.Slot, d.front.Gen, f)
	d.hasFront = false
}

// choose returns the connection with the fewest queries that can take one. None: busy tells that one will be able to soon, because
// its batch, not its table, is full.
func (d *driver) choose(now time.Duration) (best *conn, busy bool) {
	least := outstandingMax
	for _, c := range d.conns {
		c.mu.Lock()
		used, room := c.table.used(), c.room(len(d.front.Query))
		if used < outstandingMax && !room {
			c.starved, busy = true, true
		}
		c.mu.Unlock()
		if room && used < least {
			best, least = c, used
		}
	}
	if best != nil && least >= growOutstanding && len(d.conns) < d.end.Conns && d.backoff.Ready(now) {
		d.dial()
	}
	return best, busy
}

// fill puts queries into the batch of c until there are none or it takes no more, and wakes its writer.
func (d *driver) fill(c *conn, now time.Duration) {
	c.mu.Lock()
	for d.peek() && now < d.front.Deadline {
		verdict := c.add(d.front, d.frontOld, now)
		if verdict == batchFull || verdict == tableFull {
			break
		}
		if verdict == malformed {
			d.fail(transport.FaultProtocol)
		}
		d.hasFront = false
	}
	c.mu.Unlock()
	c.work.Signal()
}

// sweep fails what is past its deadline, and ends connections that are dead or idle.
func (d *driver) sweep(now time.Duration) {
	for i := 0; i < len(d.conns); i++ {
		c := d.conns[i]
		c.mu.Lock()
		d.late = c.table.expire(now, d.grace, d.late[:0])
		used := c.table.used()
		silent := used > 0 && now-max(c.lastRead, c.waitSince) > d.end.DeadAfter
		stuck := c.writeSince != 0 && now-c.writeSince > d.end.DeadAfter
		limit, reason := c.patience(d.end.IdleTimeout)
		kept := d.keeps(c) && (!c.announced || c.theirs >= keptMin)
		idle := used == 0 && now-c.lastUse > limit && !kept
		if (silent || stuck) && c.lost == nil {
			c.lost = errDead // collect comes before the next query is placed
			d.lane.Counters().Dead.Add(1)
		}
		if c.answered {
			d.suspected = false
		}
		c.mu.Unlock()
		d.failLate()
		if idle {
			d.rested = reason == transport.RetiredKeepalive
			d.lane.Counters().Retired[reason].Add(1)
			d.conns = append(d.conns[:i], d.conns[i+1:]...)
			i--
			c.close()
		}
	}
	d.collect(now)
}

// failLate replies to the queries whose deadline has passed.
func (d *driver) failLate() {
	for _, late := range d.late {
		d.lane.Fail(late.slot, late.gen, transport.FaultTimeout)
	}
}

// shutdown releases everything and fails what is left.
func (d *driver) shutdown() {
	for _, c := range append(d.conns, d.retired...) {
		c.mu.Lock()
		c.table.drain(func(e *entry) { d.lane.Fail(e.slot, e.gen, transport.FaultShutdown) })
		c.mu.Unlock()
		c.close()
	}
	for d.peek() {
		d.fail(transport.FaultShutdown)
	}
	d.lane.Publish()
	d.group.Wait()
	select {
	case r := <-d.dialed:
		if r.err == nil {
			r.stream.Close()
			r.place.Release()
		}
	default:
	}
}
