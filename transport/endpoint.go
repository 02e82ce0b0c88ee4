package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"secure-dns-proxy/transport/trust"
)

// Scheme is how queries reach an upstream. The zero value is none.
type Scheme uint8

const (
	UDP   Scheme = iota + 1 // RFC 1035; exchanged on the worker's own ring, no lane
	TCP                     // RFC 7766
	TLS                     // RFC 7858
	QUIC                    // RFC 9250
	HTTPS                   // RFC 8484
)

var schemeNames = [...]string{"none", "udp", "tcp", "tls", "quic", "https"}

// Schemes is one more than the greatest Scheme, for arrays indexed by it.
const Schemes = len(schemeNames)

// String returns the scheme as it stands in a URL.
func (s Scheme) String() string {
	if int(s) < len(schemeNames) {
		return schemeNames[s]
	}
	return fmt.Sprintf("scheme(%d)", uint8(s))
}

// Encrypted reports whether the scheme runs over TLS.
func (s Scheme) Encrypted() bool { return s == TLS || s == QUIC || s == HTTPS }

// HTTP3 says whether an https endpoint is asked over HTTP/3 (RFC 9114).
type HTTP3 uint8

const (
	HTTP3Off   HTTP3 = iota
	HTTP3Probe       // where it works, HTTP/2 where it does not
	HTTP3Only
)

// Endpoint is one configured upstream. It is immutable once a lane has it, but for what is inside Addresses, and is shared by the lanes
// of all workers.
type Endpoint struct {
	Name      string // the URL as the operator wrote it: the label in logs and metrics
	Scheme    Scheme
	Host      string // host name or IP address, an IPv6 address without brackets
	Port      uint16
	Path      string // https only: absolute path of the resource, "/dns-query", or a template of it; see ParseResource
	Get       bool   // https only: ask by GET, not POST
	HTTP3     HTTP3  // https only
	Addresses *Addresses
	// TLS is nil for udp and tcp. ServerName, RootCAs, MinVersion and ClientSessionCache are set; NextProtos is the driver's business.
	// A driver dials with what Handshake gives it: a client certificate and Encrypted Client Hello are only there.
	TLS         *tls.Config
	Trust       *trust.Client // whose Config is TLS; nil: TLS is all there is
	Conns       int           // connections per lane, at least 1
	ConnCaps    *ConnCaps     // on top of that, with other endpoints; nil: none
	DialTimeout time.Duration // for one attempt to connect, all addresses and the handshake included
	// AttemptDelay is how long an address is given before the next one is tried beside it (RFC 8305 §5); 0 means AttemptDelayDefault.
	AttemptDelay time.Duration
	IPv4First    bool          // of addresses that nothing is known of yet, IPv4 before IPv6 (RFC 8305 §4 says IPv6 first)
	IdleTimeout  time.Duration // a connection without queries for so long is closed
	DeadAfter    time.Duration // queries outstanding and nothing read for so long: the connection is dead
	Prewarm      bool          // connect at start and keep one connection up
	// PaddingBlock is what the length of queries is padded to a multiple of, in bytes (RFC 8467 §4.1); 0: not padded, and always over tcp.
	PaddingBlock int
	// A connection is replaced after so many queries, or at that age; a little earlier by chance. 0: never.
	MaxQueries   int
	MaxAge       time.Duration
	FastOpen     bool         // over tcp, tls and https: TCP Fast Open (RFC 7413) where kernel and server can
	AskKeepalive bool         // over tcp and tls: the first queries of a connection ask for the server's idle timeout (RFC 7828)
	QUIC         QUICSettings // of quic endpoints, and of https ones over HTTP/3
	Health       Reporter     // nil: nobody wants to know
	// Notice is told of changes that are worth a line in a log and do not make the upstream better or worse, with the reason or nil; each
	// lane tells its own. Any goroutine. nil: nobody wants to know.
	Notice func(event string, reason error)
}

// Reporter learns what happens to connections as a whole, never to single queries. Both methods are called from any goroutine
// and are safe and cheap to repeat.
type Reporter interface {
	Up()               // a connection works
	Down(reason error) // no connection could be made, or one stopped answering; the reason names address and cause
}

// Validate returns everything that keeps a lane from being opened to e, joined.
func (e *Endpoint) Validate() error {
	var problems []error
	complain := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("upstream %s: "+format, append([]any{e.Name}, args...)...))
	}
	if e.Scheme < UDP || e.Scheme > HTTPS {
		complain("unknown scheme %d", uint8(e.Scheme))
	}
	if e.Addresses == nil {
		complain("no address list")
	}
	if e.Scheme.Encrypted() != (e.TLS != nil) {
		complain("scheme %s with TLS configuration %t", e.Scheme, e.TLS != nil)
	}
	if e.Scheme == HTTPS {
		if _, err := ParseResource(e.Path); err != nil {
			complain("%w", err)
		}
	}
	if e.Conns < 1 || e.Conns > ConnsMax {
		complain("%d connections, want 1 to %d", e.Conns, ConnsMax)
	}
	if e.PaddingBlock < 0 || e.PaddingBlock > QueryBytesMax || e.PaddingBlock > 0 && !e.Scheme.Encrypted() {
		complain("padding to %d bytes over %s: want 0 to %d, and 0 without encryption", e.PaddingBlock, e.Scheme, QueryBytesMax)
	}
	if e.AttemptDelay != 0 && (e.AttemptDelay < attemptDelayMin || e.AttemptDelay > AttemptDelayMax) {
		complain("attempt delay %v, want %v to %v", e.AttemptDelay, attemptDelayMin, AttemptDelayMax)
	}
	if e.MaxQueries < 0 || e.MaxAge < 0 {
		complain("at most %d queries and age %v for a connection: must not be negative", e.MaxQueries, e.MaxAge)
	}
	if e.DialTimeout <= 0 || e.IdleTimeout <= 0 || e.DeadAfter <= 0 {
		complain("dial timeout %v, idle timeout %v and dead-after %v must be positive", e.DialTimeout, e.IdleTimeout, e.DeadAfter)
	}
	if err := e.QUIC.validate(); err != nil {
		complain("%w", err)
	}
	return errors.Join(problems...)
}
