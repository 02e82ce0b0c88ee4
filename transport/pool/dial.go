package pool

import (
	"net/netip"
	"slices"

	"secure-dns-proxy/transport"
)

// dial starts an attempt to connect, unless one is under way: one handshake at a time for each lane. mu is held.
func (d *driver) dial() {
	if d.dialing || d.ctx.Err() != nil {
		return
	}
	d.dialing, d.wanted = true, false
	leaving := len(d.all) > len(d.conns) // retired, and its place is given back in a moment
	replaces := leaving || slices.ContainsFunc(d.conns, func(c *conn) bool { return c.worn || c.stalled })
	d.group.Go(func() { d.connect(replaces) })
}

// connect is the goroutine of one dial, and of the connection it leads to: it stays until that has ended.
func (d *driver) connect(replaces bool) {
	place, err := d.end.TakePlace(replaces)
	if err != nil {
		d.disappoint(err)
		return
	}
	defer place.Release()
	made, address, err := transport.TryAddresses(d.ctx, d.end, d.lane.Counters(), transport.Dialer[Conn]{Try: d.protocol.Dial, Discard: Conn.Close})
	if err != nil {
		d.disappoint(err)
		return
	}
	c := d.welcome(made, address)
	counters := d.lane.Counters()
	counters.Open.Add(1)
	d.lane.Notify()
	select {
	case <-c.starter.Ready():
	case <-c.Ended():
	}
	if isClosed(c.starter.Ready()) {
		d.trust(c)
	}
	<-c.Ended()
	counters.Open.Add(-1)
	d.bury(c)
}

// disappoint ends an attempt that failed, and the queries that waited for it.
func (d *driver) disappoint(err error) {
	d.mu.Lock()
	d.dialing = false
	d.backoff.Fail(transport.Now())
	fault := transport.FaultOf(err)
	d.refusal = transport.FaultDial
	if fault == transport.FaultFull { // a cap of ours: nothing is known of the upstream
		d.refusal = fault
	}
	down := len(d.conns) == 0 && d.ctx.Err() == nil && fault != transport.FaultFull
	waiting := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	if d.ctx.Err() != nil {
		fault = transport.FaultShutdown
	}
	for _, c := range waiting {
		d.fail(c, fault)
	}
	d.lane.Publish()
	if down {
		d.lane.Down(err)
	}
	d.lane.Notify()
}

// welcome ends an attempt that succeeded: queries that waited for it, and those on connections that it is to replace, start on it.
func (d *driver) welcome(made Conn, address netip.AddrPort) *conn {
	starter, ok := made.(Starter)
	if !ok {
		starter = exchanger{made.(Exchanger), &d.residents}
	}
	now := transport.Now()
	c := &conn{Conn: made, starter: starter, address: address, opened: now, lastUse: now, ready: isClosed(starter.Ready())}
	c.share = transport.NewQuota(d.end, now)
	d.mu.Lock()
	d.dialing = false
	d.all = append(d.all, c)
	stopped := d.ctx.Err() != nil
	waiting := d.waiting
	if stopped { // shutdown takes the lock later, or has had it already
		c.retired = true
		waiting = nil
	} else {
		d.wanted, d.waiting = false, nil
		d.conns = append(d.conns, c)
	}
	d.mu.Unlock()
	if stopped {
		c.Close()
	}
	for _, call := range waiting {
		d.place(call)
	}
	d.lane.Publish()
	return c
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// trust notes that the server of c has proved who it is.
func (d *driver) trust(c *conn) {
	if c.Resumed() {
		d.lane.Counters().Resumed.Add(1)
	}
	d.mu.Lock()
	c.ready = true
	up := !d.suspected && d.ctx.Err() == nil
	d.mu.Unlock()
	if up {
		d.lane.Up()
	}
	d.replace(c)
}
