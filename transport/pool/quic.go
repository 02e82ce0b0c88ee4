package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
)

// QUIC dials the QUIC connections of one lane. Each has a UDP socket of its own: connected, so that a server that is gone is known by the
// first ICMP error; and another port than the connection that it replaces, whose path may be what was lost. Dial is safe from any goroutine:
// the addresses of an endpoint are dialed side by side.
type QUIC struct {
	Config *quic.Config // may be changed until the first Dial

	end      *transport.Endpoint
	protocol string
	doubtful atomic.Bool    // the last handshake failed
	sockets  sync.WaitGroup // of connections that have not ended
}

// NewQUIC returns a dialer for end with the given application protocol. The server may open no streams but for those that the caller
// allows in Config.
func NewQUIC(end *transport.Endpoint, protocol string) *QUIC {
	s := end.QUIC.WithDefaults()
	q := &QUIC{
		end:      end,
		protocol: protocol,
		Config: &quic.Config{
			HandshakeIdleTimeout:           end.DialTimeout,
			MaxIdleTimeout:                 s.MaxIdle,
			KeepAlivePeriod:                max(s.KeepAlive, 0),
			MaxIncomingStreams:             -1,
			MaxIncomingUniStreams:          -1,
			InitialStreamReceiveWindow:     uint64(s.StreamWindow),
			MaxStreamReceiveWindow:         uint64(s.StreamWindow),
			InitialConnectionReceiveWindow: uint64(s.ConnectionWindow),
			MaxConnectionReceiveWindow:     uint64(s.ConnectionWindow),
			TokenStore:                     quic.NewLRUTokenStore(1, tokensMax), // saves the round trip of a Retry (RFC 9000 §8.1)
		},
	}
	for _, v := range s.Versions {
		q.Config.Versions = append(q.Config.Versions, quic.Version(v))
	}
	return q
}

// Dial opens a connection to address.
func (q *QUIC) Dial(ctx context.Context, address netip.AddrPort) (*quic.Conn, error) {
	return q.dial(address, func(mux *quic.Transport, remote net.Addr, cfg *tls.Config) (*quic.Conn, error) {
		return mux.Dial(ctx, remote, cfg, q.Config)
	})
}

// DialEarly is Dial, but returns before the handshake is complete if the server allowed 0-RTT in an earlier session. After a handshake that
// failed the next one is not early: nothing is entrusted to it.
func (q *QUIC) DialEarly(ctx context.Context, address netip.AddrPort) (*quic.Conn, error) {
	if q.doubtful.Load() {
		return q.Dial(ctx, address)
	}
	return q.dial(address, func(mux *quic.Transport, remote net.Addr, cfg *tls.Config) (*quic.Conn, error) {
		return mux.DialEarly(ctx, remote, cfg, q.Config)
	})
}

func (q *QUIC) dial(address netip.AddrPort, handshake func(*quic.Transport, net.Addr, *tls.Config) (*quic.Conn, error)) (*quic.Conn, error) {
	remote := net.UDPAddrFromAddrPort(address)
	c, err := transport.Handshake(q.end, []string{q.protocol}, func(cfg *tls.Config) (*quic.Conn, error) {
		cfg.MinVersion = tls.VersionTLS13 // RFC 9001 §4.2
		cfg.ClientSessionCache = transport.QUICSessions(cfg.ClientSessionCache)
		socket, err := net.DialUDP("udp", nil, remote)
		if err != nil {
			return nil, err
		}
		mux := &quic.Transport{Conn: connected{socket}}
		c, err := handshake(mux, remote, cfg)
		if err != nil {
			release(mux, socket)
			return nil, err
		}
		q.sockets.Go(func() { q.watch(c, mux, socket) })
		return c, nil
	})
	q.doubtful.Store(err != nil)
	if err != nil {
		return nil, WithAlert(err)
	}
	return c, nil
}

// watch gives back what c was made of, when it has ended.
func (q *QUIC) watch(c *quic.Conn, mux *quic.Transport, socket *net.UDPConn) {
	<-c.Context().Done()
	select {
	case <-c.HandshakeComplete():
	default:
		q.doubtful.Store(true)
	}
	release(mux, socket)
}

// release closes both; errors have no consequence, they are gone either way.
func release(mux *quic.Transport, socket *net.UDPConn) {
	mux.Close()
	socket.Close()
}

// connected is a UDP socket with one peer: the kernel takes no other address.
type connected struct{ *net.UDPConn }

// WriteMsgUDP writes to the peer.
func (s connected) WriteMsgUDP(b, oob []byte, _ *net.UDPAddr) (n, oobn int, err error) {
	return s.UDPConn.WriteMsgUDP(b, oob, nil)
}

// WithAlert puts the TLS alert that err carries as a QUIC error code (RFC 9001 §4.8) where errors.As finds it, as over TCP.
func WithAlert(err error) error {
	var handshake *quic.TransportError
	if errors.As(err, &handshake) && handshake.ErrorCode.IsCryptoError() {
		return fmt.Errorf("%w: %w", tls.AlertError(uint8(handshake.ErrorCode)), err)
	}
	return err
}

// Close waits until the sockets of all connections, which have ended, are closed.
func (q *QUIC) Close() { q.sockets.Wait() }

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
