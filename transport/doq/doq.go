package doq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/quic-go/quic-go"

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

// protocol makes connections over the lane's socket, which is opened when it is first needed.
type protocol struct {
	cfg    *tls.Config
	quic   *quic.Config
	socket *net.UDPConn    // nil: not open
	mux    *quic.Transport // over socket
}

// Run drives a lane to a quic endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every query it
// took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	end := lane.Endpoint()
	p := &protocol{
		cfg: end.TLS.Clone(),
		quic: &quic.Config{
			HandshakeIdleTimeout:  end.DialTimeout,
			MaxIdleTimeout:        maxIdle,
			KeepAlivePeriod:       keepAlive,
			MaxIncomingStreams:    -1, // RFC 9250 §4.2: the client opens all streams
			MaxIncomingUniStreams: -1,
			TokenStore:            quic.NewLRUTokenStore(1, 4), // saves the round trip of a Retry
		},
	}
	p.cfg.NextProtos = []string{"doq"}
	p.cfg.ClientSessionCache = transport.QUICSessions(p.cfg.ClientSessionCache)
	pool.Run(ctx, lane, p)
}

// Dial opens a connection to address.
func (p *protocol) Dial(ctx context.Context, address netip.AddrPort) (pool.Conn, error) {
	if p.mux == nil {
		socket, err := net.ListenUDP("udp", nil) // all addresses of both families: one socket serves every upstream address
		if err != nil {
			return nil, fmt.Errorf("udp socket: %w", err)
		}
		p.socket, p.mux = socket, &quic.Transport{Conn: socket}
	}
	c, err := p.mux.Dial(ctx, net.UDPAddrFromAddrPort(address), p.cfg, p.quic)
	if errors.Is(err, quic.ErrTransportClosed) {
		p.Close() // the socket broke; the next attempt gets another
	}
	if err != nil {
		return nil, withAlert(err)
	}
	return &conn{quic: c}, nil
}

// withAlert puts the TLS alert that err carries as a QUIC error code (RFC 9001 §4.8) where errors.As finds it, as over TCP.
func withAlert(err error) error {
	var handshake *quic.TransportError
	if errors.As(err, &handshake) && handshake.ErrorCode.IsCryptoError() {
		return fmt.Errorf("%w: %w", tls.AlertError(uint8(handshake.ErrorCode)), err)
	}
	return err
}

// Close closes the socket.
func (p *protocol) Close() {
	if p.mux == nil {
		return
	}
	// Errors have no consequence: both are gone either way.
	p.mux.Close()
	p.socket.Close()
	p.mux, p.socket = nil, nil
}
