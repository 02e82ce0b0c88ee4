package doq

import (
	"errors"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// pace is how long the calls that wait for a stream wait for each other.
type pace struct {
	turn time.Duration // from one stream to the next, averaged; 0: not known
	last time.Duration // since Base: when the last one came, or when the first call began to wait
}

// step notes that a stream has come for the first of those that wait.
func (p *pace) step(now time.Duration) {
	if p.turn == 0 {
		p.turn = now - p.last
	} else {
		p.turn += (now - p.last - p.turn) / 8
	}
	p.last = now
}

// queue lets call wait for a stream, unless that is hopeless. mu is held, and released.
func (c *conn) queue(call *pool.Call) {
	now := transport.Now()
	if n := len(c.waiting); n >= waitingMax || now+c.pace.turn*time.Duration(n+1) > call.Deadline {
		c.mu.Unlock()
		call.Finish(pool.Result{Outcome: pool.Declined, Fault: transport.FaultFull})
		return
	}
	if len(c.waiting) == 0 {
		c.pace.last = now
	}
	c.waiting = append(c.waiting, call)
	c.openMore()
	c.mu.Unlock()
}

// hopeless takes out the waiting calls whose turn will come too late. mu is held.
func (c *conn) hopeless(now time.Duration) (calls []*pool.Call) {
	kept := c.waiting[:0]
	for _, call := range c.waiting {
		if now+c.pace.turn*time.Duration(len(kept)+1) > call.Deadline {
			calls = append(calls, call)
		} else {
			kept = append(kept, call)
		}
	}
	clear(c.waiting[len(kept):])
	c.waiting = kept
	return calls
}

// refill gives the streams that have ended to calls that wait, all at once, so that they share packets. It does not block: for streams
// that the server has yet to allow, openMore has a goroutine.
func (c *conn) refill() {
	for {
		c.mu.Lock()
		if c.opening || c.over || len(c.waiting) == 0 || len(c.live) >= c.streams {
			c.mu.Unlock()
			return
		}
		call := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		c.pace.step(transport.Now())
		c.mu.Unlock()
		early := !c.proven()
		stream, err := c.quic.OpenStream()
		switch {
		case err == nil:
			c.send(call, stream, early)
		case isLimit(err):
			c.mu.Lock()
			c.waiting = slices.Insert(c.waiting, 0, call)
			c.openMore()
			c.mu.Unlock()
			return
		default:
			c.noStream(call, err)
		}
	}
}

// openMore starts the goroutine that gets streams for the calls that wait, if they may have some and it does not run. mu is held.
func (c *conn) openMore() {
	if c.opening || c.over || len(c.waiting) == 0 || len(c.live) >= c.streams {
		return
	}
	c.opening = true
	c.group.Go(c.open)
}

// open is that goroutine: one, however many calls wait.
func (c *conn) open() {
	for {
		early := !c.proven()
		stream, err := c.quic.OpenStreamSync(c.quic.Context())
		c.mu.Lock()
		if len(c.waiting) == 0 || err != nil {
			c.opening = false
			waiting := c.waiting
			if err != nil {
				c.waiting = nil
			}
			c.mu.Unlock()
			if err == nil { // opened for a call that is late: unused, but the server must see it end
				stream.CancelRead(codeRequestCancelled)
				stream.CancelWrite(codeRequestCancelled)
				return
			}
			for _, call := range waiting {
				c.noStream(call, err)
			}
			c.lane.Publish()
			return
		}
		call := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		c.pace.step(transport.Now())
		more := len(c.waiting) > 0 && len(c.live)+1 < c.streams
		c.opening = more
		c.mu.Unlock()
		c.send(call, stream, early)
		if !more {
			c.mu.Lock()
			c.openMore() // for what came meanwhile
			c.mu.Unlock()
			return
		}
	}
}

func isLimit(err error) bool {
	var limit *quic.StreamLimitReachedError
	return errors.As(err, &limit)
}
