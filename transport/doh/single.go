package doh

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"secure-dns-proxy/transport"
)

// Post has end, an https endpoint, answer one message of any opcode and length, over a connection that is closed then. Neither the message nor the
// answer is changed, and it is sent once: by POST, which HTTP does not repeat (RFC 9110 §9.2.2). The answer is at most a DNS message long; nothing
// else is known of it. dialed is called when there is a connection, before anything is sent. Where HTTP/3 is looked for, that is over HTTP/2.
func Post(ctx context.Context, end *transport.Endpoint, c *transport.Counters, message []byte, dialed func()) ([]byte, error) {
	o, err := originOf(end)
	if err != nil {
		return nil, err
	}
	dial := o.single2
	if end.HTTP3 == transport.HTTP3Only {
		dial = o.single3
	}
	roundTrip, hangUp, err := dial(ctx, c)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	dialed()
	response, err := roundTrip(o.request(ctx, message, false))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("HTTP status %s", statusText(response.StatusCode))
	case !isMessage(response.Header):
		return nil, fmt.Errorf("response with content type %q, not %s", response.Header.Get("Content-Type"), mediaType)
	}
	return readBody(response, nil)
}

type roundTrip func(*http.Request) (*http.Response, error)

// single2 opens an HTTP/2 connection for one request.
func (o *origin) single2(ctx context.Context, c *transport.Counters) (roundTrip, func(), error) {
	settings := http2Settings(o.end)
	settings.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		stream, _, err := transport.TryAddresses(ctx, o.end, c, transport.Dialer[net.Conn]{
			Try: func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
				return transport.DialStream(ctx, o.end, address, "h2", true)
			},
			Discard: func(stream net.Conn) { stream.Close() },
		})
		return stream, err
	}
	client, err := settings.NewClientConn(ctx, "https", net.JoinHostPort(o.end.Host, strconv.Itoa(int(o.end.Port))))
	if err != nil {
		return nil, nil, err
	}
	return client.RoundTrip, func() { client.Close() }, nil
}

// single3 opens an HTTP/3 connection for one request.
func (o *origin) single3(ctx context.Context, c *transport.Counters) (roundTrip, func(), error) {
	dialer := newQUIC(o.end)
	hangUp := func(q *quic.Conn) { q.CloseWithError(noError3, "") }
	q, _, err := transport.TryAddresses(ctx, o.end, c, transport.Dialer[*quic.Conn]{Try: dialer.Dial, Discard: hangUp})
	if err != nil {
		dialer.Close()
		return nil, nil, err
	}
	client := (&http3.Transport{DisableCompression: true, MaxResponseHeaderBytes: headerBytesMax}).NewClientConn(q)
	return client.RoundTrip, func() { hangUp(q); dialer.Close() }, nil
}
