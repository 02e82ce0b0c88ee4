package doh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// http2Settings are those of every HTTP/2 connection to end; each gets its own, because addresses are dialed side by side and the clones of one
// http.Transport share a list of protocols that net/http appends to (Go 1.26). net/http asks for no server push (SETTINGS_ENABLE_PUSH 0)
// and waits while the server's MAX_CONCURRENT_STREAMS are in use.
func http2Settings(end *transport.Endpoint) *http.Transport {
	t := &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: headerBytesMax,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connWindow,
			// Notices a connection that died while nobody used it; one with queries outstanding is pool's to notice.
			SendPingTimeout:  end.IdleTimeout / 2,
			PingTimeout:      end.DeadAfter,
			WriteByteTimeout: end.DeadAfter,
		},
	}
	t.Protocols.SetHTTP2(true)
	return t
}

// conn2 is one HTTP/2 connection.
type conn2 struct {
	*origin
	probe    *probe // nil: HTTP/3 is not looked for
	address  netip.AddrPort
	client   *http.ClientConn
	stream   *tls.Conn // below client
	answered atomic.Bool
	once     sync.Once
	ended    chan struct{}
}

// dial2 connects to address and makes an HTTP/2 connection of it.
func (p *protocol) dial2(ctx context.Context, address netip.AddrPort) (*conn2, error) {
	c := &conn2{origin: p.origin, probe: p.probe, address: address, ended: make(chan struct{})}
	settings := http2Settings(p.end)
	settings.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		stream, err := transport.DialStream(ctx, p.end, address, "h2", true)
		if err != nil {
			return nil, err
		}
		c.stream = stream.(*tls.Conn)
		return stream, nil
	}
	client, err := settings.NewClientConn(ctx, "https", net.JoinHostPort(p.end.Host, strconv.Itoa(int(p.end.Port))))
	if err != nil {
		return nil, fmt.Errorf("http/2: %w", err)
	}
	c.client = client
	client.SetStateHook(c.changed)
	return c, nil
}

// changed is called when the state of the client connection has changed.
func (c *conn2) changed(client *http.ClientConn) {
	if client.Err() != nil {
		c.once.Do(func() { close(c.ended) })
	}
}

// Resumed reports whether the TLS session was resumed.
func (c *conn2) Resumed() bool { return c.stream.ConnectionState().DidResume }

// Ended is closed when the connection has ended.
func (c *conn2) Ended() <-chan struct{} { return c.ended }

// Reason says why. net/http does not tell, so it is taken to be in order, unless TLS ended with an alert, which crypto/tls keeps for every
// later read: a server that wants a client certificate says so after the handshake (RFC 8446 §4.4.2.4).
func (c *conn2) Reason() (orderly bool, err error) {
	c.stream.SetReadDeadline(time.Unix(1, 0)) // there is nothing to wait for
	if _, err := c.stream.Read(make([]byte, 1)); err != nil && transport.CauseOf(err).Fault() == transport.FaultTLS {
		return false, err
	}
	return true, c.client.Err()
}

// Close ends the connection and all its streams.
func (c *conn2) Close() { c.client.Close() }

// Exchange sends the query on a stream of its own and reads the answer. When ctx ends, the stream is reset. A connection that has answered
// takes no more queries once HTTP/3 works.
func (c *conn2) Exchange(ctx context.Context, framed, buf []byte) pool.Result {
	if c.probe != nil && c.answered.Load() && c.probe.won() {
		return pool.Result{Outcome: pool.Closing}
	}
	result, header, err := c.exchange(ctx, framed[2:], buf, c.client.RoundTrip)
	if err != nil {
		return c.explain(ctx, err)
	}
	if result.Outcome == pool.Answered && !c.answered.Load() {
		c.answered.Store(true)
	}
	if c.probe != nil && header != nil {
		c.probe.consider(header, c.address)
	}
	return result
}

// explain turns an error of net/http into the outcome of an exchange.
func (c *conn2) explain(ctx context.Context, err error) pool.Result {
	var stream http2.StreamError // the bundled type converts itself to this one
	switch {
	case ctx.Err() != nil:
		return pool.Result{Outcome: pool.Expired}
	case errors.As(err, &stream):
		return reset2(stream.Code)
	}
	// net/http has no names for its other errors. If the connection would take another query, the trouble was with this one's response.
	// If not (GOAWAY, RFC 9113 §6.8), the query may be sent again on another.
	if c.client.Reserve() == nil {
		c.client.Release()
		return declined(transport.FaultProtocol)
	}
	return pool.Result{Outcome: pool.Closing}
}

// reset2 says what the code of an RST_STREAM means for its query (RFC 9113 §7).
func reset2(code http2.ErrCode) pool.Result {
	switch code {
	case http2.ErrCodeRefusedStream:
		return pool.Result{Outcome: pool.Refused} // RFC 9113 §8.7: not processed; happens before the server's stream limit is known
	case http2.ErrCodeEnhanceYourCalm:
		return declined(transport.FaultFull)
	}
	return declined(transport.FaultProtocol)
}
