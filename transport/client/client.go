package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/drive"
	"secure-dns-proxy/transport/wire"
)

// Client asks one endpoint. Its methods are safe from any goroutine.
type Client struct {
	end  *transport.Endpoint // a copy: of a udp endpoint the one for TCP
	udp  bool
	lane *transport.Lane
	wake chan struct{}
	gone chan struct{} // closed when no more replies are taken from the lane
	over chan struct{} // closed when the goroutine that takes them has ended

	mu      sync.Mutex // guards the worker's side of the lane, and the rest
	waiting [outstandingMax]waiter
	gen     uint32
	reason  error // why connections failed last
	closed  bool
}

// waiter is one question under way. The zero value is free.
type waiter struct {
	gen   uint32
	reply chan reply // nil: free, or given up and its reply still to come
	taken bool
}

type reply struct {
	fault transport.Fault
	msg   []byte
}

var (
	errFull   = errors.New("too many questions at a time")
	errClosed = errors.New("client is closed")
	errQuery  = errors.New("not a query with one question")
)

// New returns a client of e. The caller owes it a Close.
func New(e *transport.Endpoint) (*Client, error) {
	c := &Client{udp: e.Scheme == transport.UDP, wake: make(chan struct{}, 1), gone: make(chan struct{}), over: make(chan struct{})}
	end := *e
	end.Conns, end.Prewarm, end.ConnCaps, end.IdleTimeout, end.Health = 1, false, nil, min(e.IdleTimeout, idleTimeout), (*reporter)(c)
	if c.udp {
		end.Scheme = transport.TCP
	}
	c.end = &end
	lane, err := transport.NewLane(c.end, func() {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake, or will be
		}
	}, transport.LaneLimits{Outstanding: outstandingMax, QueryQueueBytes: queueBytes, AnswerQueueBytes: answerBytes})
	if err != nil {
		return nil, err
	}
	if err := drive.Start(lane); err != nil {
		return nil, errors.Join(err, lane.Close(context.Background()))
	}
	c.lane = lane
	go c.receive()
	return c, nil
}

// Close ends the connection; questions under way fail. It returns when nothing is left, or with the error of ctx.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	err := c.lane.Close(ctx) // every question has a reply then
	if !again {
		close(c.gone)
	}
	<-c.over
	return err
}

// Exchange sends query, a whole message of at most transport.QueryBytesMax bytes with one question, and returns the answer with the
// query's id: a response to that question, of which nothing else has been looked at. Its time is that of ctx, which must have a deadline.
func (c *Client) Exchange(ctx context.Context, query []byte) ([]byte, error) {
	end, ok := transport.QuestionEnd(query)
	if _, bounded := ctx.Deadline(); !ok || !bounded {
		return nil, fmt.Errorf("%s: %w, or no deadline", c.end.Name, errQuery)
	}
	if c.udp {
		msg, err := c.datagrams(ctx, query, end)
		if err != nil || msg[2]&flagTC == 0 {
			return msg, err
		}
	}
	msg, err := c.overLane(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.end.Name, err)
	}
	copy(msg, query[:2])
	return msg, nil
}

// flagTC is in the third byte of a message (RFC 1035 §4.1.1).
const flagTC = 0x02

// overLane exchanges one message over the lane; the id of the answer is any.
func (c *Client) overLane(ctx context.Context, query []byte) ([]byte, error) {
	slot, got, err := c.submit(ctx, c.padded(query))
	if err != nil {
		return nil, err
	}
	select {
	case r := <-got:
		if r.fault != transport.FaultNone {
			return nil, c.explain(r.fault)
		}
		return r.msg, nil
	case <-ctx.Done():
		c.mu.Lock()
		c.waiting[slot].reply = nil // the slot is free when the lane has replied
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// padded returns query as it goes over this hop: to the block of the endpoint, if it has an OPT (RFC 8467 §4.1). Which names are looked up,
// and that a query is a probe, is nobody's business either.
func (c *Client) padded(query []byte) []byte {
	if c.end.PaddingBlock == 0 || len(query) > transport.QueryBytesMax {
		return query
	}
	var room [transport.QueryBytesMax]byte
	return room[:wire.PadQuery(room[:], copy(room[:], query), c.end.PaddingBlock)]
}

// submit gives the query to the lane. The reply will come on got, which has room for it.
func (c *Client) submit(ctx context.Context, query []byte) (slot int, got chan reply, err error) {
	deadline, _ := ctx.Deadline()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, nil, errClosed
	}
	for slot < outstandingMax && c.waiting[slot].taken {
		slot++
	}
	if slot == outstandingMax {
		return 0, nil, errFull
	}
	c.gen++
	if !c.lane.Submit(uint32(slot), c.gen, deadline.Sub(transport.Base), query) {
		return 0, nil, errFull
	}
	got = make(chan reply, 1)
	c.waiting[slot] = waiter{gen: c.gen, reply: got, taken: true}
	c.lane.Flush()
	return slot, got, nil
}

// receive hands out what the lane brings, until gone.
func (c *Client) receive() {
	defer close(c.over)
	for {
		select {
		case <-c.wake:
			c.collect()
		case <-c.gone:
			c.collect()
			return
		}
	}
}

func (c *Client) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, ok := c.lane.Receive(); ok; r, ok = c.lane.Receive() {
		w := &c.waiting[r.Slot]
		if w.gen != r.Gen {
			continue // never: a slot is taken until its reply has come
		}
		if w.reply != nil {
			w.reply <- reply{r.Fault, bytes.Clone(r.Msg)}
		}
		*w = waiter{}
	}
	c.lane.Flush()
}

// explain turns a fault into an error, with what is known of the connection's trouble.
func (c *Client) explain(fault transport.Fault) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != nil && (fault == transport.FaultDial || fault == transport.FaultTLS || fault == transport.FaultClosed) {
		return c.reason
	}
	return fmt.Errorf("no answer: %v", fault)
}

// reporter takes the driver's reports in place of the endpoint's health.
type reporter Client

// Up forgets old trouble.
func (r *reporter) Up() { r.note(nil) }

// Down keeps the reason for whoever waits for an answer.
func (r *reporter) Down(reason error) { r.note(reason) }

func (r *reporter) note(reason error) {
	r.mu.Lock()
	r.reason = reason
	r.mu.Unlock()
}

// share is the part of the time that is left that one of n addresses still to be asked gets.
func share(ctx context.Context, n int) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline) / time.Duration(n)
}
