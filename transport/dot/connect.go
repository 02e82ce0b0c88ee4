package dot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// hold decides about the query in front while there is no connection: true, it waits for the dial that this starts or that is under
// way. Only a dial after success is waited for; while the upstream is failing the worker had better go elsewhere at once.
func (d *driver) hold(now time.Duration) bool {
	if !d.dialing && d.backoff.Ready(now) {
		d.dial()
	}
	if d.dialing && !d.backoff.Failing() {
		return true
	}
	d.wanted = true
	return false
}

// turnAway fails the query in front for want of a connection: with fault, or, if it has had one that closed, with FaultClosed.
func (d *driver) turnAway(fault transport.Fault) {
	if d.frontOld > 0 {
		fault = transport.FaultClosed
	}
	d.fail(fault)
}

// maintain dials for those who do not ask: Prewarm, and queries that were turned away during the back-off.
func (d *driver) maintain(now time.Duration) {
	if d.wantsDial() && d.backoff.Ready(now) {
		d.dial()
	}
}

// wantsDial reports whether there is no connection and should be one.
func (d *driver) wantsDial() bool {
	return len(d.conns) == 0 && (d.end.Prewarm && !d.rested || d.wanted)
}

// dial starts an attempt to connect, unless one is under way: one handshake at a time for each lane.
func (d *driver) dial() {
	if d.dialing {
		return
	}
	d.dialing, d.wanted, d.rested = true, false, false
	leaving := len(d.retired) > 0 // it gives its place back when it owes nothing more
	replaces := leaving || slices.ContainsFunc(d.conns, func(c *conn) bool { return c.overdue })
	d.group.Go(func() {
		place, err := d.end.TakePlace(replaces)
		if err != nil {
			d.dialed <- dialed{err: err}
			d.lane.Notify()
			return
		}
		stream, address, err := transport.TryAddresses(d.ctx, d.end, d.lane.Counters(), transport.Dialer[net.Conn]{
			Try: func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
				return transport.DialStream(ctx, d.end, address, "dot", false) // RFC 7858 knows no ALPN: servers may ignore it
			},
			Discard: func(stream net.Conn) { stream.Close() }, // nothing was asked on it
		})
		if err != nil {
			place.Release()
		}
		d.dialed <- dialed{stream, address, place, err}
		d.lane.Notify()
	})
}

// settle takes in the result of a dial. The queries that waited for one that failed fail with its fault.
func (d *driver) settle(r dialed, now time.Duration) {
	if r.err == nil {
		d.wanted = false
		d.conns = append(d.conns, open(d.lane, r, &d.group))
		d.succeed()
		if !d.suspected {
			d.lane.Up()
		}
		return
	}
	d.backoff.Fail(now)
	if len(d.conns) > 0 || d.ctx.Err() != nil {
		return // another connection works; or we are to stop
	}
	fault := transport.FaultOf(r.err)
	d.refusal = transport.FaultDial
	if fault == transport.FaultFull {
		d.refusal = fault
	} else {
		d.lane.Down(r.err)
	}
	for d.peek() {
		d.turnAway(fault)
	}
}

// bury ends a lost connection and decides what becomes of its queries: sent once more if the server closed it, failed
// otherwise. One that has been sent again before is so only if the server answered others meanwhile: it may be what makes the server hang up.
func (d *driver) bury(c *conn, lost error, now time.Duration) {
	closedByPeer := transport.ClosedByPeer(lost)
	fault := transport.FaultClosed
	if errors.Is(lost, errFrame) {
		fault = transport.FaultProtocol
	}
	c.mu.Lock()
	proven := c.answered || closedByPeer && now-c.opened >= transport.ProvenAfter
	outstanding := c.table.used()
	c.table.drain(func(e *entry) {
		if closedByPeer && now < e.deadline && (e.resent == 0 || c.answered && e.resent < resentMax) {
			d.lane.Counters().Retried.Add(1)
			query := append([]byte(nil), e.query[:e.size]...)
			d.retries = append(d.retries, retry{due: due{e.slot, e.gen}, deadline: e.deadline, resent: e.resent + 1, query: query})
			return
		}
		d.lane.Fail(e.slot, e.gen, fault)
	})
	c.mu.Unlock()
	c.close()
	d.backoff.Ended(proven, now)
	if !closedByPeer || !proven {
		d.end.AddressFailed(c.address, now, lost)
	}
	if !closedByPeer {
		d.suspected = true
		d.lane.Down(fmt.Errorf("%s at %s: connection lost with %d queries outstanding: %w", d.end.Name, c.address, outstanding, lost))
	}
}
