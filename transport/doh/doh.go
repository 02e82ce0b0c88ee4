package doh

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/quic-go/quic-go/http3"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// protocol makes connections.
type protocol struct {
	*origin
	http3 *http3.Transport // used for its settings only
	quic  *pool.QUIC       // nil: HTTP/2 only
	probe *probe           // nil: one version only
}

// Run drives a lane to an https endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every query it
// took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	pool.Run(ctx, lane, newProtocol(lane))
}

func newProtocol(lane *transport.Lane) *protocol {
	o, err := newOrigin(lane)
	if err != nil {
		panic(fmt.Sprintf("doh: an endpoint that Validate let pass: %v", err))
	}
	p := &protocol{origin: o}
	if o.end.HTTP3 != transport.HTTP3Off {
		p.http3 = &http3.Transport{DisableCompression: true, MaxResponseHeaderBytes: headerBytesMax}
		p.quic = newQUIC(o.end)
	}
	if o.end.HTTP3 == transport.HTTP3Probe {
		p.probe = newProbe(o, p.dial3)
	}
	return p
}

// Dial connects to address, over the version that is configured or found to work.
func (p *protocol) Dial(ctx context.Context, address netip.AddrPort) (pool.Conn, error) {
	switch {
	case p.end.HTTP3 == transport.HTTP3Only:
		return made(p.dial3(ctx, address))
	case p.probe == nil:
		return made(p.dial2(ctx, address))
	}
	if c := p.probe.take(); c != nil {
		return c, nil
	}
	port, ok := p.probe.target()
	if !ok || !p.probe.won() {
		return made(p.dial2(ctx, address))
	}
	return p.race(ctx, address, netip.AddrPortFrom(address.Addr(), port))
}

// made keeps a nil pointer from becoming a connection.
func made[C pool.Conn](c C, err error) (pool.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends what the probe has under way, and closes the UDP socket; each HTTP/2 connection is its own.
func (p *protocol) Close() {
	if p.probe != nil {
		p.probe.close()
	}
	if p.quic != nil {
		p.quic.Close()
	}
}
