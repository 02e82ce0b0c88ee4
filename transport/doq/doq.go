package doq

import (
	"context"
	"net/netip"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// Error codes of RFC 9250 §4.3, for streams and connections.
const (
	codeNoError          = 0x0
	codeProtocolError    = 0x2
	codeRequestCancelled = 0x3
	codeExcessiveLoad    = 0x4
)

// protocol makes connections.
type protocol struct{ *pool.QUIC }

// Run drives a lane to a quic endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every query it
// took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	pool.Run(ctx, lane, protocol{pool.NewQUIC(lane.Endpoint(), "doq")}) // RFC 9250 §4.2: the client opens all streams
}

// Dial opens a connection to address.
func (p protocol) Dial(ctx context.Context, address netip.AddrPort) (pool.Conn, error) {
	c, err := p.QUIC.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &conn{quic: c}, nil
}
