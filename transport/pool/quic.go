package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
)

// QUIC dials the QUIC connections of one lane, all from one UDP socket, which is opened when it is first needed. Dial is safe from any
// goroutine: the addresses of an endpoint are dialed side by side.
type QUIC struct {
	Config *quic.Config // may be changed until the first Dial

	end      *transport.Endpoint
	protocol string

	mu     sync.Mutex      // guards the rest
	socket *net.UDPConn    // nil: not open
	mux    *quic.Transport // over socket
}

// NewQUIC returns a dialer for end with the given application protocol. The server may open no streams but for those that the caller
// allows in Config.
func NewQUIC(end *transport.Endpoint, protocol string) *QUIC {
	return &QUIC{
		end:      end,
		protocol: protocol,
		Config: &quic.Config{
			HandshakeIdleTimeout:  end.DialTimeout,
			MaxIdleTimeout:        quicIdleMax,
			KeepAlivePeriod:       quicKeepAlive,
			MaxIncomingStreams:    -1,
			MaxIncomingUniStreams: -1,
			TokenStore:            quic.NewLRUTokenStore(1, 4), // saves the round trip of a Retry
		},
	}
}

// Dial opens a connection to address.
func (q *QUIC) Dial(ctx context.Context, address netip.AddrPort) (*quic.Conn, error) {
	mux, err := q.open()
	if err != nil {
		return nil, err
	}
	c, err := transport.Handshake(q.end, []string{q.protocol}, func(cfg *tls.Config) (*quic.Conn, error) {
		cfg.MinVersion = tls.VersionTLS13 // RFC 9001 §4.2
		cfg.ClientSessionCache = transport.QUICSessions(cfg.ClientSessionCache)
		return mux.Dial(ctx, net.UDPAddrFromAddrPort(address), cfg, q.Config)
	})
	if errors.Is(err, quic.ErrTransportClosed) {
		q.close(mux) // the socket broke; the next attempt gets another
	}
	if err != nil {
		return nil, WithAlert(err)
	}
	return c, nil
}

// open returns the transport, over a new socket if there is none.
func (q *QUIC) open() (*quic.Transport, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mux == nil {
		socket, err := net.ListenUDP("udp", nil) // all addresses of both families: one socket serves every upstream address
		if err != nil {
			return nil, fmt.Errorf("udp socket: %w", err)
		}
		q.socket, q.mux = socket, &quic.Transport{Conn: socket}
	}
	return q.mux, nil
}

// WithAlert puts the TLS alert that err carries as a QUIC error code (RFC 9001 §4.8) where errors.As finds it, as over TCP.
func WithAlert(err error) error {
	var handshake *quic.TransportError
	if errors.As(err, &handshake) && handshake.ErrorCode.IsCryptoError() {
		return fmt.Errorf("%w: %w", tls.AlertError(uint8(handshake.ErrorCode)), err)
	}
	return err
}

// Close closes the socket. No Dial is under way.
func (q *QUIC) Close() { q.close(q.mux) }

// close closes the socket under mux, unless another attempt has closed it, and perhaps opened a new one, before.
func (q *QUIC) close(mux *quic.Transport) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mux == nil || q.mux != mux {
		return
	}
	// Errors have no consequence: both are gone either way.
	q.mux.Close()
	q.socket.Close()
	q.mux, q.socket = nil, nil
}

// QUICEnd says what err, with which a QUIC connection ended, means for its queries, and whether it reflects on nobody: a server that closes
// with noError, forgets us or falls silent while idle is in order, and so is our own close.
func QUICEnd(err error, noError quic.ApplicationErrorCode) (outcome Outcome, orderly bool) {
	var (
		application *quic.ApplicationError
		idle        *quic.IdleTimeoutError
		forgotten   *quic.StatelessResetError
	)
	switch {
	case errors.As(err, &application) && !application.Remote:
		return Lost, true
	case errors.As(err, &application) && application.ErrorCode == noError, errors.As(err, &idle), errors.As(err, &forgotten):
		return Closing, true
	}
	return Lost, false
}
