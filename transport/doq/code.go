package doq

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// Error codes of RFC 9250 §4.3, for streams and connections, that mean something to us. All others are alike: on a stream the query fails,
// for a connection it has been lost (§4.3.4: unknown codes are like DOQ_UNSPECIFIED_ERROR).
const (
	codeNoError          = 0x0 // sent: every close of ours. Received: the queries go to another connection
	codeProtocolError    = 0x2 // sent: see violate
	codeRequestCancelled = 0x3 // sent: see abandon
	codeExcessiveLoad    = 0x4 // received: FaultFull, the worker asks elsewhere and thinks no worse of the server
)

// What a server may not do (RFC 9250 §4.3.3).
var (
	errID        = errors.New("message id is not 0")               // §4.2.1
	errLength    = errors.New("message shorter than a DNS header") // or than announced
	errTrailing  = errors.New("data after the response")           // §4.2: one response, then the end of the stream
	errKeepalive = errors.New("edns-tcp-keepalive option")         // RFC 7828 §3.2.1 names other transports; for QUIC it is §5.5.2
	errStopped   = errors.New("STOP_SENDING for a query")
)

// onStream says what an error of a stream, or of opening one, means for its query.
func (c *conn) onStream(err error) pool.Result {
	var reset *quic.StreamError
	switch {
	case errors.As(err, &reset) && reset.Remote && reset.ErrorCode == codeExcessiveLoad:
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultFull}
	case errors.As(err, &reset) && reset.Remote: // all other codes alike, unknown ones too (§4.3.4)
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
	case c.quic.Context().Err() != nil:
		return c.afterEnd()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return pool.Result{Outcome: pool.Expired}
	}
	return c.onEnd(err)
}

// afterEnd says what the end of the connection, which has come, means for its queries.
func (c *conn) afterEnd() pool.Result { return c.onEnd(context.Cause(c.quic.Context())) }

// onEnd says what the end of the connection with err means for its queries.
func (c *conn) onEnd(err error) pool.Result {
	if c.violation.Load() != nil {
		return pool.Result{Outcome: pool.Lost}
	}
	return pool.Result{Outcome: c.outcome(err)}
}

// outcome says whether a query may be sent again after its connection ended with err.
func (c *conn) outcome(err error) pool.Outcome {
	if !c.proven() {
		return pool.Lost // it never became a connection
	}
	o, _ := pool.QUICEnd(err, codeNoError)
	return o
}

// Reason says why the connection ended. A server that closes without an error, forgets us or falls silent while idle, is in order.
func (c *conn) Reason() (orderly bool, err error) {
	if v := c.violation.Load(); v != nil {
		return false, *v
	}
	err = context.Cause(c.quic.Context())
	_, orderly = pool.QUICEnd(err, codeNoError)
	return orderly && (c.proven() || isLocal(err)), pool.WithAlert(err)
}

// isLocal reports whether we closed the connection.
func isLocal(err error) bool {
	var application *quic.ApplicationError
	return errors.As(err, &application) && !application.Remote
}

// violate closes the connection because the server broke the protocol (§4.3.3).
func (c *conn) violate(err error) pool.Result {
	err = fmt.Errorf("protocol violation: %w", err)
	c.violation.CompareAndSwap(nil, &err)
	c.quic.CloseWithError(codeProtocolError, "")
	return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
}
