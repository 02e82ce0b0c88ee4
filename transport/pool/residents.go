package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// residents are the goroutines that carry out the exchanges of Exchangers. One that is done waits for the next call: its stack has grown
// to what an exchange needs, and growing it anew for each query cost more than the exchange's own work. They leave when the lane is quiet.
type residents struct {
	driver *driver
	next   chan *Call // nil: leave
	count  atomic.Int32
	busyAt atomic.Int64 // since Base: when one of them was last given a call

	mu   sync.Mutex
	busy map[ticket]exchange
}

// ticket names a query as the worker does.
type ticket struct{ slot, gen uint32 }

// exchange is one under way.
type exchange struct {
	cancel context.CancelFunc
	as     Outcome // what it is if it expires
}

func (r *residents) init(d *driver) {
	r.driver, r.next, r.busy = d, make(chan *Call), map[ticket]exchange{}
}

// exchanger makes a Starter of an Exchanger.
type exchanger struct {
	Exchanger
	residents *residents
}

// Start gives c to a goroutine that waits, or to a new one.
func (e exchanger) Start(c *Call) {
	r := e.residents
	r.busyAt.Store(int64(transport.Now()))
	select {
	case r.next <- c:
		return
	default:
	}
	if r.count.Add(1) > residentsMax {
		r.count.Add(-1)
		c.Finish(Result{Outcome: Declined, Fault: transport.FaultFull})
		return
	}
	r.driver.group.Go(func() { r.live(c) })
}

// Expire has nothing to do: an exchange watches its own deadline.
func (exchanger) Expire(time.Duration) {}

// Cancel ends the exchange of a call.
func (e exchanger) Cancel(slot, gen uint32, as Outcome) bool {
	r := e.residents
	t := ticket{slot, gen}
	r.mu.Lock()
	x, ok := r.busy[t]
	if ok {
		x.as = as
		r.busy[t] = x
	}
	r.mu.Unlock()
	if ok {
		x.cancel()
	}
	return ok
}

// Recall takes back nothing: an exchange ends with its connection.
func (exchanger) Recall() []*Call { return nil }

// Stalled is not known.
func (exchanger) Stalled(_, _ time.Duration) bool { return false }

// Ready is always closed.
func (exchanger) Ready() <-chan struct{} { return closed }

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// live is the goroutine of a resident.
func (r *residents) live(c *Call) {
	defer r.count.Add(-1)
	answer := make([]byte, 0, answerBytes)
	for c != nil {
		answer = r.serve(c, answer)
		r.driver.lane.Publish()
		if cap(answer) > answerKeepBytes {
			answer = make([]byte, 0, answerBytes)
		}
		select {
		case c = <-r.next:
		case <-r.driver.ctx.Done():
			return
		}
	}
}

// serve carries out one exchange, with room for the answer, and returns that.
func (r *residents) serve(c *Call, answer []byte) []byte {
	ctx, cancel := context.WithDeadline(r.driver.ctx, transport.Base.Add(c.Deadline))
	t := ticket{c.slot, c.gen}
	r.mu.Lock()
	r.busy[t] = exchange{cancel, Expired}
	r.mu.Unlock()
	result := c.conn.starter.(exchanger).Exchange(ctx, c.Framed(), answer[:0])
	r.mu.Lock()
	if x, mine := r.busy[t]; mine && result.Outcome == Expired { // a query may be here twice, once given up: the ticket is that of the later
		result.Outcome = x.as
	}
	delete(r.busy, t)
	r.mu.Unlock()
	cancel()
	if result.Answer != nil {
		answer = result.Answer
	}
	c.Finish(result)
	return answer
}

// quiet sends the residents away that have nothing to do, if none was needed for residentsIdle. It returns when to ask again: 0 = never.
func (r *residents) quiet(now time.Duration) time.Duration {
	if r.count.Load() == 0 {
		return 0
	}
	if until := time.Duration(r.busyAt.Load()) + residentsIdle; now < until {
		return until
	}
	for {
		select {
		case r.next <- nil:
		default:
			return now + residentsIdle // for those that are still busy
		}
	}
}
