package doh

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

const noError3 = quic.ApplicationErrorCode(http3.ErrCodeNoError)

// newQUIC returns the dialer for HTTP/3 connections to end. Windows are those of Endpoint.QUIC.
func newQUIC(end *transport.Endpoint) *pool.QUIC {
	q := pool.NewQUIC(end, http3.NextProtoH3)
	q.Config.MaxIncomingUniStreams = serverStreamsMax
	return q
}

// conn3 is one HTTP/3 connection. Server push is off: we never send MAX_PUSH_ID (RFC 9114 §4.6).
type conn3 struct {
	*origin
	probe       *probe // nil: there is no other version
	address     netip.AddrPort
	quic        *quic.Conn
	client      *http3.ClientConn
	closed      atomic.Bool // by Close
	outstanding atomic.Int32
	answered    atomic.Bool
	silent      atomic.Bool // the last query that ended got no response
}

// dial3 opens an HTTP/3 connection to address.
func (p *protocol) dial3(ctx context.Context, address netip.AddrPort) (*conn3, error) {
	q, err := p.quic.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	c := &conn3{origin: p.origin, probe: p.probe, address: address, quic: q, client: p.http3.NewClientConn(q)}
	c.lane.Counters().OpenHTTP3.Add(1)
	context.AfterFunc(q.Context(), c.gone)
	return c, nil
}

// gone is called when the connection has ended.
func (c *conn3) gone() {
	c.lane.Counters().OpenHTTP3.Add(-1)
	if orderly, err := c.Reason(); !orderly && c.probe != nil {
		c.probe.failed(err)
	}
}

// Resumed reports whether the TLS session was resumed.
func (c *conn3) Resumed() bool { return c.quic.ConnectionState().TLS.DidResume }

// Ended is closed when the connection has ended.
func (c *conn3) Ended() <-chan struct{} { return c.quic.Context().Done() }

// Reason says why.
func (c *conn3) Reason() (orderly bool, err error) {
	err = context.Cause(c.quic.Context())
	_, orderly = pool.QUICEnd(err, noError3)
	return orderly, pool.WithAlert(err)
}

var errSilent = errors.New("no answer")

// Close ends the connection and all its streams. If it still owes answers, HTTP/3 has failed.
func (c *conn3) Close() {
	if c.quic.Context().Err() != nil {
		return
	}
	if c.probe != nil && (c.outstanding.Load() > 0 || c.silent.Load()) {
		c.probe.failed(errSilent)
	}
	c.closed.Store(true)
	c.quic.CloseWithError(noError3, "")
}

// Exchange sends the query on a stream of its own, which it waits for if the server allows no more at the moment, and reads the answer.
// When ctx ends, the stream is reset.
func (c *conn3) Exchange(ctx context.Context, framed, buf []byte) pool.Result {
	c.outstanding.Add(1)
	defer c.outstanding.Add(-1)
	result, header, err := c.exchange(ctx, framed[2:], buf, c.client.RoundTrip)
	if err != nil {
		result = c.explain(ctx, err)
	}
	if c.probe != nil {
		c.tell(ctx, result, header)
	}
	return result
}

// tell lets the probe know how the connection fares.
func (c *conn3) tell(ctx context.Context, result pool.Result, header http.Header) {
	switch {
	case result.Outcome != pool.Expired:
		c.silent.Store(false)
	case errors.Is(ctx.Err(), context.DeadlineExceeded): // a query that was cancelled says nothing
		c.silent.Store(true)
	}
	if result.Outcome == pool.Answered && !c.answered.Swap(true) {
		c.probe.proven()
	}
	if header != nil {
		c.probe.learn(header)
	}
}

// explain turns an error of http3 into the outcome of an exchange.
func (c *conn3) explain(ctx context.Context, err error) pool.Result {
	var (
		code  *http3.Error
		reset *quic.StreamError
	)
	switch {
	case c.quic.Context().Err() != nil:
		outcome, orderly := pool.QUICEnd(context.Cause(c.quic.Context()), noError3)
		if outcome == pool.Lost && orderly && !c.closed.Load() {
			return c.left() // http3 closed it after GOAWAY, when no request was under way: this one had not been sent, or was rejected
		}
		return pool.Result{Outcome: outcome}
	case ctx.Err() != nil:
		return pool.Result{Outcome: pool.Expired}
	case errors.As(err, &code) && errors.As(err, &reset) && reset.Remote:
		return c.reset3(code.ErrorCode, err)
	case c.leaving():
		return c.left() // a query is never sent after GOAWAY: RFC 9114 §5.2
	}
	return declined(transport.FaultProtocol)
}

// left is the outcome of a query that the server did not take because of its GOAWAY.
func (c *conn3) left() pool.Result {
	if c.probe != nil {
		c.probe.left()
	}
	return pool.Result{Outcome: pool.Closing}
}

// reset3 says what the code of a stream that the server reset means for its query (RFC 9114 §8.1).
func (c *conn3) reset3(code http3.ErrCode, err error) pool.Result {
	switch code {
	case http3.ErrCodeRequestRejected:
		return c.left() // RFC 9114 §4.1.1: not processed, most often because of a GOAWAY that has not been read yet
	case http3.ErrCodeVersionFallback:
		if c.probe != nil {
			c.probe.failed(err)
			return pool.Result{Outcome: pool.Closing}
		}
	case http3.ErrCodeExcessiveLoad:
		return declined(transport.FaultFull)
	}
	return declined(transport.FaultProtocol)
}

// leaving reports whether the server has sent GOAWAY: then no stream is opened, whatever the context.
func (c *conn3) leaving() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stream, err := c.client.OpenRequestStream(ctx)
	if err == nil {
		stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		return false
	}
	return !errors.Is(err, context.Canceled)
}
