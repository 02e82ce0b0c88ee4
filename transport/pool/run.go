package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// driver is the state of one lane. Its own goroutine takes queries and watches connections; each dial, and the connection that it leads
// to, has another.
type driver struct {
	ctx       context.Context
	lane      *transport.Lane
	end       *transport.Endpoint
	protocol  Protocol
	tick      time.Duration
	idle      time.Duration  // a connection without queries for so long is closed
	group     sync.WaitGroup // dials, those that wait for connections to end, residents
	running   atomic.Int32   // calls without a reply
	calls     sync.Pool      // of *Call
	residents residents

	mu        sync.Mutex
	conns     []*conn         // that take queries, at most end.Conns, and one more while it replaces another
	all       []*conn         // these, and those that are retired and have not ended
	waiting   []*Call         // for the dial under way
	refusal   transport.Fault // why queries are turned away when there is no connection: FaultDial, or FaultFull if a cap of ours is reached
	dialing   bool
	backoff   transport.Backoff
	wanted    bool // a query came while none could be taken: dial as soon as the back-off allows
	suspected bool // the last connection ended badly: only an answer counts as Up, not a handshake
}

// Run drives a lane with protocol until ctx ends. On return every goroutine and connection it had is gone, protocol is closed, and
// every query it took has a reply.
func Run(ctx context.Context, lane *transport.Lane, protocol Protocol) {
	end := lane.Endpoint()
	d := &driver{
		ctx: ctx, lane: lane, end: end, protocol: protocol, tick: min(max(end.DeadAfter/4, sweepMin), sweepMax), idle: end.IdleTimeout,
		refusal: transport.FaultDial,
	}
	if q := end.QUIC.WithDefaults(); end.Scheme == transport.QUIC && q.KeepAlive < 0 {
		d.idle = min(d.idle, q.MaxIdle/idleShare)
	}
	d.calls.New = func() any { return &Call{driver: d} }
	d.residents.init(d)
	for ctx.Err() == nil {
		d.take()
		next := d.sweep(transport.Now())
		_ = lane.Wait(ctx, next) // the error is that of ctx, which the loop looks at
	}
	d.shutdown()
}

// take starts a call for every query that is waiting, up to the limit.
func (d *driver) take() {
	now, taken := transport.Now(), false
	for r, ok := d.lane.Next(); ok; r, ok = d.lane.Next() {
		taken = true
		if r.Cancel {
			d.cancel(r)
			continue
		}
		end, valid := transport.QuestionEnd(r.Query)
		switch {
		case !valid:
			d.lane.Fail(r.Slot, r.Gen, transport.FaultProtocol)
		case now >= r.Deadline:
			d.lane.Fail(r.Slot, r.Gen, transport.FaultTimeout)
		case d.running.Load() >= callsMax:
			d.lane.Fail(r.Slot, r.Gen, transport.FaultFull)
		default:
			d.place(d.newCall(r, end))
		}
	}
	if taken {
		d.lane.Publish() // what failed at once
	}
}

// shutdown ends all connections, which ends all exchanges, and waits for them.
func (d *driver) shutdown() {
	d.mu.Lock()
	conns, waiting := slices.Clone(d.all), d.waiting
	d.conns, d.waiting = nil, nil
	d.mu.Unlock()
	for _, c := range waiting {
		d.fail(c, transport.FaultShutdown)
	}
	for _, c := range conns {
		c.Close()
	}
	d.group.Wait()
	d.protocol.Close()
	d.lane.Publish()
}
