package doq

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// conn is one QUIC connection.
type conn struct {
	quic      *quic.Conn
	lane      *transport.Lane
	streams   int            // outstanding at most, if the server allows as many
	ready     chan struct{}  // closed when the handshake is complete
	ended     chan struct{}  // closed when the connection has, and owes no call a Finish
	signal    chan struct{}  // to the reader: done is not empty
	group     sync.WaitGroup // what must have returned before ended is closed
	violation atomic.Pointer[error]

	mu       sync.Mutex
	live     []*exchange  // on a stream
	waiting  []*pool.Call // for a stream, first come first served
	held     []*pool.Call // for the end of the handshake
	done     []*exchange  // their streams have ended: to be read
	refused  bool         // the server did not accept 0-RTT: it has not looked at anything that was sent before ready
	opening  bool         // a goroutine waits for a stream for the first of waiting
	over     bool         // the connection has ended, or is being closed
	pace     pace
	received uint64        // packets, when last looked at
	since    time.Duration // since Base: something is outstanding and no packet came since then; 0: nothing is
}

// exchange is a call on its stream.
type exchange struct {
	conn   *conn
	stream *quic.Stream
	call   *pool.Call // nil once somebody has taken it, to finish it; guarded by conn.mu
	place  int        // in conn.live; -1: not there
	size   int64      // of what the server sent, once that is known
}

// Start begins an exchange.
func (c *conn) Start(call *pool.Call) {
	c.mu.Lock()
	if c.since == 0 {
		c.since = transport.Now()
	}
	switch {
	case c.over:
		c.mu.Unlock()
		call.Finish(c.afterEnd())
		return
	case !c.proven() && !replayable(call.Query()):
		c.held = append(c.held, call)
		c.mu.Unlock()
		return
	case len(c.waiting) > 0 || len(c.live) >= c.streams:
		c.queue(call)
		return
	}
	c.mu.Unlock()
	early := !c.proven()
	stream, err := c.quic.OpenStream()
	if err == nil {
		c.send(call, stream, early)
		return
	}
	c.noStream(call, err)
}

// replayable reports whether a query may be sent in 0-RTT (RFC 9250 §4.5): QUERY (0) and NOTIFY (4).
func replayable(query []byte) bool {
	opcode := query[2] >> 3 & 0xf
	return opcode == 0 || opcode == 4
}

// send writes a query to its stream and ends that. Neither blocks: quic-go keeps so few bytes until there is room in a packet. early: the
// stream was opened before the handshake was complete.
func (c *conn) send(call *pool.Call, stream *quic.Stream, early bool) {
	x := &exchange{conn: c, stream: stream, call: call, place: -1}
	stream.SetReceiveFinalSizeCallback(x.complete)
	size, err := stream.Write(call.Framed())
	if err == nil {
		err = stream.Close() // the end of the stream: RFC 9250 §4.2
	}
	c.lane.Counters().BytesSent.Add(uint64(size))
	c.mu.Lock()
	if err == nil && early && c.refused {
		err = quic.Err0RTTRejected // meanwhile
	}
	switch {
	case x.call == nil: // answered already
		c.mu.Unlock()
	case err == nil && !c.over:
		x.place = len(c.live)
		c.live = append(c.live, x)
		c.mu.Unlock()
	default:
		x.call = nil
		c.mu.Unlock()
		c.abandon(x)
		c.afterSend(call, err)
	}
}

// afterSend is called when call could not be sent, for err, or was sent and the connection has ended since.
func (c *conn) afterSend(call *pool.Call, err error) {
	var stopped *quic.StreamError
	switch {
	case err == nil:
		call.Finish(c.afterEnd())
	case errors.Is(err, quic.Err0RTTRejected):
		c.hold(call)
	case errors.As(err, &stopped) && stopped.Remote:
		call.Finish(c.violate(errStopped))
	default:
		call.Finish(c.onStream(err))
	}
}

// noStream is called when call has no stream, for err.
func (c *conn) noStream(call *pool.Call, err error) {
	switch {
	case isLimit(err):
		c.mu.Lock()
		c.queue(call)
	case errors.Is(err, quic.Err0RTTRejected):
		c.hold(call)
	default:
		call.Finish(c.onStream(err))
	}
}

// take takes the call of x from it, and x from the live exchanges; nil: somebody else did. mu is held.
func (c *conn) take(x *exchange) *pool.Call {
	call := x.call
	x.call = nil
	if x.place >= 0 {
		last := len(c.live) - 1
		c.live[x.place] = c.live[last]
		c.live[x.place].place = x.place
		c.live[last] = nil
		c.live = c.live[:last]
		x.place = -1
	}
	if len(c.live) == 0 {
		c.since = 0
	}
	return call
}

// abandon tells the server that nobody waits for the answer (RFC 9250 §4.3.1). It has no effect on what has ended already.
func (c *conn) abandon(x *exchange) {
	x.stream.CancelRead(codeRequestCancelled)
	x.stream.CancelWrite(codeRequestCancelled)
}

// Expire finishes the calls that are late, and those that no stream will come for in time.
func (c *conn) Expire(now time.Duration) {
	c.mu.Lock()
	var late []*exchange
	var calls []*pool.Call
	for i := len(c.live) - 1; i >= 0; i-- { // take moves the last one to i
		if x := c.live[i]; now >= x.call.Deadline {
			late = append(late, x)
			calls = append(calls, c.take(x))
		}
	}
	isLate := func(call *pool.Call) bool {
		if now >= call.Deadline {
			calls = append(calls, call)
		}
		return now >= call.Deadline
	}
	c.held = slices.DeleteFunc(c.held, isLate)
	c.waiting = slices.DeleteFunc(c.waiting, isLate)
	hopeless := c.hopeless(now)
	c.openMore()
	c.mu.Unlock()
	for _, x := range late {
		c.abandon(x)
	}
	for _, call := range calls {
		call.Finish(pool.Result{Outcome: pool.Expired})
	}
	for _, call := range hopeless {
		call.Finish(pool.Result{Outcome: pool.Declined, Fault: transport.FaultFull})
	}
}

// Cancel finishes a call that nobody waits for any more, if it is here.
func (c *conn) Cancel(slot, gen uint32, as pool.Outcome) bool {
	matches := func(call *pool.Call) bool { return call.Is(slot, gen) }
	var call *pool.Call
	var x *exchange
	c.mu.Lock()
	if i := slices.IndexFunc(c.live, func(x *exchange) bool { return matches(x.call) }); i >= 0 {
		x = c.live[i]
		call = c.take(x)
		c.openMore()
	} else if i := slices.IndexFunc(c.waiting, matches); i >= 0 {
		call = c.waiting[i]
		c.waiting = slices.Delete(c.waiting, i, i+1)
	} else if i := slices.IndexFunc(c.held, matches); i >= 0 {
		call = c.held[i]
		c.held = slices.Delete(c.held, i, i+1)
	}
	c.mu.Unlock()
	if x != nil {
		c.abandon(x)
	}
	if call != nil {
		call.Finish(pool.Result{Outcome: as})
	}
	return call != nil
}

// Recall takes back every call.
func (c *conn) Recall() []*pool.Call {
	c.mu.Lock()
	exchanges, calls := c.takeAll()
	c.mu.Unlock()
	for _, x := range exchanges {
		c.abandon(x)
	}
	return calls
}

// takeAll takes all calls. mu is held.
func (c *conn) takeAll() (exchanges []*exchange, calls []*pool.Call) {
	exchanges = slices.Clone(c.live)
	calls = append(slices.Clone(c.waiting), c.held...)
	c.waiting, c.held = nil, nil
	for _, x := range exchanges {
		calls = append(calls, c.take(x))
	}
	for _, x := range c.done { // ended before send could put them among the live ones
		if call := c.take(x); call != nil {
			exchanges, calls = append(exchanges, x), append(calls, call)
		}
	}
	c.done = nil
	return exchanges, calls
}

// Stalled reports whether nothing came from the server for after, nor for stallPTOs probe timeouts, while something is outstanding.
func (c *conn) Stalled(now, after time.Duration) bool {
	stats := c.quic.ConnectionStats()
	pto := stats.SmoothedRTT + max(4*stats.MeanDeviation, time.Millisecond) + maxAckDelay
	c.mu.Lock()
	defer c.mu.Unlock()
	if stats.PacketsReceived != c.received {
		c.received, c.since = stats.PacketsReceived, 0
		if len(c.live) > 0 {
			c.since = now
		}
	}
	return c.since != 0 && now-c.since > max(after, stallPTOs*pto)
}

// Resumed reports whether the TLS session was resumed.
func (c *conn) Resumed() bool { return c.quic.ConnectionState().TLS.DidResume }

// Ready is closed when the handshake is complete.
func (c *conn) Ready() <-chan struct{} { return c.ready }

// Ended is closed when the connection has ended.
func (c *conn) Ended() <-chan struct{} { return c.ended }

// Close ends the connection and all its streams.
func (c *conn) Close() { c.quic.CloseWithError(codeNoError, "") }

// proven reports whether the handshake is complete, and the server is who it should be.
func (c *conn) proven() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// run waits for the end of the connection, and is the last to use it.
func (c *conn) run() {
	<-c.quic.Context().Done()
	c.mu.Lock()
	c.over = true
	_, calls := c.takeAll() // the streams have ended with the connection
	c.mu.Unlock()
	result := c.afterEnd()
	for _, call := range calls {
		call.Finish(result)
	}
	c.lane.Publish()
	c.group.Wait()
	close(c.ended)
}
