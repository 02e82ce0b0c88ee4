package doh

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// conn is one HTTP/2 connection.
type conn struct {
	client   *http.ClientConn
	template *http.Request
	stream   *tls.Conn // below client
	once     sync.Once
	ended    chan struct{}
}

// changed is called when the state of the client connection has changed.
func (c *conn) changed(client *http.ClientConn) {
	if client.Err() != nil {
		c.once.Do(func() { close(c.ended) })
	}
}

// Resumed reports whether the TLS session was resumed.
func (c *conn) Resumed() bool { return c.stream.ConnectionState().DidResume }

// Ended is closed when the connection has ended.
func (c *conn) Ended() <-chan struct{} { return c.ended }

// Reason says why. net/http does not tell, so it is taken to be in order, unless TLS ended with an alert, which crypto/tls keeps for every
// later read: a server that wants a client certificate says so after the handshake (RFC 8446 §4.4.2.4).
func (c *conn) Reason() (orderly bool, err error) {
	c.stream.SetReadDeadline(time.Unix(1, 0)) // there is nothing to wait for
	if _, err := c.stream.Read(make([]byte, 1)); err != nil && transport.CauseOf(err).Fault() == transport.FaultTLS {
		return false, err
	}
	return true, c.client.Err()
}

// Close ends the connection and all its streams.
func (c *conn) Close() { c.client.Close() }

// Exchange posts the query and reads the answer.
func (c *conn) Exchange(ctx context.Context, framed, buf []byte) pool.Result {
	query := bytes.Clone(framed[2:]) // net/http may read a body until after RoundTrip has returned, and framed is for the next query then
	request := c.template.WithContext(ctx)
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(query)), int64(len(query))
	response, err := c.client.RoundTrip(request)
	if err != nil {
		return c.explain(ctx, err)
	}
	defer response.Body.Close() // resets the stream if it has not ended
	if fault := judge(response); fault != transport.FaultNone {
		return pool.Result{Outcome: pool.Declined, Fault: fault}
	}
	buf, err = readBody(response, buf)
	switch {
	case errors.Is(err, errTooLong):
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
	case err != nil:
		return c.explain(ctx, err)
	}
	return pool.Result{Outcome: pool.Answered, Answer: buf}
}

// judge looks at the header of a response (RFC 8484 §4.2.1): FaultNone if its body is a DNS message.
func judge(response *http.Response) transport.Fault {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return transport.FaultFull
	default:
		return transport.FaultProtocol
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != mediaType {
		return transport.FaultProtocol
	}
	if response.ContentLength > transport.MessageBytesMax {
		return transport.FaultProtocol
	}
	return transport.FaultNone
}

var errTooLong = errors.New("body longer than a DNS message")

// readBody appends the body to buf, up to the largest message.
func readBody(response *http.Response, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], max(int(response.ContentLength), 0)+1) // one more, to see the end without growing
	for {
		if len(buf) > transport.MessageBytesMax {
			return nil, errTooLong
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, readChunk)
		}
		n, err := response.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF && len(buf) <= transport.MessageBytesMax {
			return buf, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
}

// explain turns an error of net/http into the outcome of an exchange.
func (c *conn) explain(ctx context.Context, err error) pool.Result {
	var stream http2.StreamError // the bundled type converts itself to this one
	switch {
	case ctx.Err() != nil:
		return pool.Result{Outcome: pool.Expired}
	case errors.As(err, &stream) && stream.Code == http2.ErrCodeRefusedStream:
		return pool.Result{Outcome: pool.Refused} // RFC 9113 §8.7; happens before the server's stream limit is known
	case errors.As(err, &stream) && stream.Code == http2.ErrCodeEnhanceYourCalm:
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultFull}
	case errors.As(err, &stream):
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
	}
	// net/http has no names for its other errors. If the connection would take another query, the trouble was with this one's response.
	if c.client.Reserve() == nil {
		c.client.Release()
		return pool.Result{Outcome: pool.Declined, Fault: transport.FaultProtocol}
	}
	return pool.Result{Outcome: pool.Closing}
}
