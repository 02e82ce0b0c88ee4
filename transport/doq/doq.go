package doq

import (
	"context"
	"net/netip"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// protocol makes connections.
type protocol struct {
	*pool.QUIC
	lane     *transport.Lane
	settings transport.QUICSettings
}

// Run drives a lane to a quic endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every query it
// took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	end := lane.Endpoint()
	// RFC 9250 §4.1.1: the protocol is "doq". §4.2: the client opens all streams.
	pool.Run(ctx, lane, protocol{pool.NewQUIC(end, "doq"), lane, end.QUIC.WithDefaults()})
}

// Dial opens a connection to address.
func (p protocol) Dial(ctx context.Context, address netip.AddrPort) (pool.Conn, error) {
	dial := p.QUIC.Dial
	if p.settings.EarlyData {
		dial = p.QUIC.DialEarly
	}
	q, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return p.start(q), nil
}

// start makes a conn of q.
func (p protocol) start(q *quic.Conn) *conn {
	c := &conn{
		quic: q, lane: p.lane, streams: p.settings.Streams,
		ready: make(chan struct{}), ended: make(chan struct{}), signal: make(chan struct{}, 1),
	}
	select {
	case <-q.HandshakeComplete():
		close(c.ready)
	default:
		c.group.Go(c.confirm)
	}
	c.group.Go(c.read)
	go c.run()
	return c
}
