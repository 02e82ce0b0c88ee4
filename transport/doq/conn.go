package doq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// conn is one QUIC connection.
type conn struct {
	quic      *quic.Conn
	violation atomic.Pointer[error] // what the server did, if we closed because of it
}

var (
	errID       = errors.New("message id is not 0")               // RFC 9250 §4.2.1
	errLength   = errors.New("message shorter than a DNS header") // or than announced
	errTrailing = errors.New("data after the response")           // RFC 9250 §4.2: one response, then the end of the stream
)

// Resumed reports whether the TLS session was resumed.
func (c *conn) Resumed() bool { return c.quic.ConnectionState().TLS.DidResume }

// Ended is closed when the connection has ended.
func (c *conn) Ended() <-chan struct{} { return c.quic.Context().Done() }

// Reason says why. A server that closes without an error, forgets us or falls silent while idle, is in order.
func (c *conn) Reason() (orderly bool, err error) {
	if v := c.violation.Load(); v != nil {
		return false, *v
	}
	err = context.Cause(c.quic.Context())
	_, orderly = pool.QUICEnd(err, codeNoError)
	return orderly, pool.WithAlert(err)
}

// Close ends the connection and all its streams.
func (c *conn) Close() { c.quic.CloseWithError(codeNoError, "") }

// violate closes the connection because the server broke the protocol.
func (c *conn) violate(err error) pool.Result {
	err = fmt.Errorf("protocol violation: %w", err)
	c.violation.CompareAndSwap(nil, &err)
	c.quic.CloseWithError(codeProtocolError, "")
	return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
}

// Exchange sends framed on a new stream, which it waits for if the server allows no more at the moment, and reads the answer.
func (c *conn) Exchange(ctx context.Context, framed, buf []byte) pool.Result {
	stream, err := c.quic.OpenStreamSync(ctx)
	if err != nil {
		return c.explain(ctx, err)
	}
	deadline, _ := ctx.Deadline()
	stream.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { stream.CancelRead(codeRequestCancelled) }) // the query was given up: RFC 9250 §4.3.1
	defer stop()
	if _, err = stream.Write(framed); err == nil {
		err = stream.Close() // the end of the stream: RFC 9250 §4.2
	}
	if err == nil {
		buf, err = readMessage(stream, buf)
	}
	if err == nil {
		return pool.Result{Outcome: pool.Answered, Answer: buf}
	}
	stream.CancelWrite(codeRequestCancelled) // no effect on what has ended already
	stream.CancelRead(codeRequestCancelled)
	if errors.Is(err, errID) || errors.Is(err, errLength) || errors.Is(err, errTrailing) {
		return c.violate(err)
	}
	return c.explain(ctx, err)
}

// readMessage appends the one message of a stream to buf and reads to the end of the stream.
func readMessage(stream io.Reader, buf []byte) ([]byte, error) {
	var prefix [2]byte
	if err := readFull(stream, prefix[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(prefix[:]))
	if size < 12 {
		return nil, errLength
	}
	buf = slices.Grow(buf[:0], size)[:size]
	if err := readFull(stream, buf); err != nil {
		return nil, err
	}
	if buf[0] != 0 || buf[1] != 0 {
		return nil, errID
	}
	if n, err := stream.Read(prefix[:1]); n > 0 {
		return nil, errTrailing
	} else if err != io.EOF {
		return nil, err
	}
	return buf, nil
}

// readFull fills b; a stream that ends before has a wrong length.
func readFull(stream io.Reader, b []byte) error {
	_, err := io.ReadFull(stream, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errLength
	}
	return err
}

// explain turns an error of stream or connection into the outcome of an exchange.
func (c *conn) explain(ctx context.Context, err error) pool.Result {
	var reset *quic.StreamError
	switch {
	case errors.As(err, &reset) && reset.Remote:
		if reset.ErrorCode == codeExcessiveLoad {
			return pool.Result{Outcome: pool.Declined, Fault: transport.FaultFull}
		}
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
	case c.violation.Load() != nil:
		return pool.Result{Outcome: pool.Lost}
	case c.quic.Context().Err() != nil:
		return pool.Result{Outcome: outcome(context.Cause(c.quic.Context()))}
	case ctx.Err() != nil || isTimeout(err):
		return pool.Result{Outcome: pool.Expired}
	}
	return pool.Result{Outcome: outcome(err)}
}

// outcome says whether a query may be sent again after its connection ended with err.
func outcome(err error) pool.Outcome {
	o, _ := pool.QUICEnd(err, codeNoError)
	return o
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
