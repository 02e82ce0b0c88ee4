package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"secure-dns-proxy/transport/trust"
)

// Cause tells apart why no connection came about, for an operator who has to do something about it.
type Cause uint8

const (
	CauseOther             Cause = iota
	CauseNoAddress               // the name has not been resolved yet, or resolved to nothing
	CauseRefused                 // nobody listens there
	CauseUnreachable             // no route, or a firewall says no
	CauseTimeout                 // no answer to the attempt
	CauseClosed                  // the server hung up during the handshake
	CauseUnknownAuthority        // certificate signed by nobody we trust
	CauseExpired                 // certificate outside its validity; or the clock here is wrong
	CauseWrongName               // certificate for another name
	CauseCertificate             // certificate refused for another reason
	CauseALPN                    // the server does not speak this protocol on this port
	CauseTLS                     // any other trouble in the handshake
	CausePin                     // no key of the server is pinned
	CauseECH                     // Encrypted Client Hello is required and cannot be had, or was rejected
	CauseClientCertificate       // the server wants a client certificate, or does not want ours
	CauseVersion                 // no TLS version in common
	CauseParameters              // no cipher suite or group in common
	CauseServerName              // the server does not know the name that we send
	CauseCapped                  // a cap on connections is reached: nobody was dialed
)

var causeNames = [...]string{
	"connection failed", "no address", "connection refused", "unreachable", "timed out", "closed during handshake",
	"certificate signed by unknown authority", "certificate expired or not yet valid", "certificate for another name",
	"certificate not acceptable", "application protocol not supported", "tls handshake failed",
	"public key not pinned", "no encrypted client hello", "client certificate refused or missing", "no tls version in common",
	"no cipher suite or group in common", "server name unknown there",
	"connection cap reached",
}

// String returns the cause in words.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// Fault returns what queries that waited for the connection fail with.
func (c Cause) Fault() Fault {
	switch {
	case c == CauseCapped:
		return FaultFull
	case c >= CauseUnknownAuthority:
		return FaultTLS
	}
	return FaultDial
}

// DialError is a failed attempt to connect to one address of an endpoint.
type DialError struct {
	Endpoint string
	Address  netip.AddrPort // invalid if there was none to try
	Cause    Cause
	Err      error
}

// Error names endpoint, address, cause, the words of whoever noticed, and what to do about it.
func (e *DialError) Error() string {
	if !e.Address.IsValid() {
		return fmt.Sprintf("dial %s: %v", e.Endpoint, e.Err)
	}
	text := fmt.Sprintf("dial %s at %s: %s", e.Endpoint, e.Address, e.Cause)
	if words := e.words(); words != "" {
		text += ": " + words
	}
	if advice := e.Cause.Advice(); advice != "" {
		text += "; " + advice
	}
	return text
}

// words are those of whoever noticed, where they say more than the cause does.
func (e *DialError) words() string {
	if e.Cause == CauseRefused || e.Cause == CauseTimeout {
		return ""
	}
	if errno, ok := errors.AsType[syscall.Errno](e.Err); ok { // net adds the operation and addresses that are known already
		return errno.Error()
	}
	return e.Err.Error()
}

// Unwrap returns the error as the network or TLS reported it.
func (e *DialError) Unwrap() error { return e.Err }

// CauseOf finds out what err, from a dial or a handshake, is about.
func CauseOf(err error) Cause {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		pin       *trust.PinError
		rejection *tls.ECHRejectionError
		verify    *tls.CertificateVerificationError
		alert     tls.AlertError
		record    tls.RecordHeaderError
		remote    *net.OpError
		netErr    net.Error
	)
	if errors.As(err, &remote) && remote.Op == "remote error" { // an alert of the server: over TCP, of a type without a name
		return causeOfAlert(remote.Err)
	}
	switch {
	case errors.As(err, &pin):
		return CausePin
	case errors.As(err, &rejection), errors.Is(err, trust.ErrNoECH):
		return CauseECH
	case errors.As(err, &authority):
		return CauseUnknownAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CauseExpired
	case errors.As(err, &name):
		return CauseWrongName
	case errors.As(err, &verify), errors.As(err, &invalid):
		return CauseCertificate
	case errors.Is(err, errNoALPN):
		return CauseALPN
	case errors.As(err, &alert):
		return causeOfAlert(alert)
	case errors.As(err, &record):
		return CauseTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return CauseUnreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return CauseTimeout
	case ClosedByPeer(err):
		return CauseClosed
	}
	return CauseOther
}

var (
	errNoALPN    = errors.New("server did not agree on the application protocol")
	errNoAddress = errors.New("no address known")
)

// FaultOf returns what queries that waited for a dial fail with: FaultTLS if some address got as far as a TLS fault, else FaultDial.
func FaultOf(err error) Fault {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return FaultOf(err) == FaultTLS }) {
			return FaultTLS
		}
		return FaultDial
	}
	var dial *DialError
	if errors.As(err, &dial) {
		return dial.Cause.Fault()
	}
	return FaultDial
}

// DialStream connects to one address of e over TCP, and over TLS with the given application protocol if e has a TLS
// configuration. A server that does not negotiate protocol fails with CauseALPN if requireALPN is set.
func DialStream(ctx context.Context, e *Endpoint, address netip.AddrPort, protocol string, requireALPN bool) (net.Conn, error) {
	if e.TLS == nil {
		return dialTCP(ctx, e, address)
	}
	return Handshake(e, []string{protocol}, func(cfg *tls.Config) (net.Conn, error) {
		raw, err := dialTCP(ctx, e, address)
		if err != nil {
			return nil, err
		}
		cfg.DynamicRecordSizingDisabled = true // one record, one write, for a whole batch of queries
		conn := tls.Client(raw, cfg)
		err = conn.HandshakeContext(ctx)
		if err == nil && requireALPN && conn.ConnectionState().NegotiatedProtocol != protocol {
			err = fmt.Errorf("%w %q", errNoALPN, protocol)
		}
		if err != nil {
			raw.Close() // nothing was sent that could be lost; the handshake's error is the one that matters
			return nil, err
		}
		return conn, nil
	})
}

func dialTCP(ctx context.Context, e *Endpoint, address netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // DeadAfter and IdleTimeout are stricter
	if e.FastOpen {
		dialer.Control = askFastOpen
	}
	conn, err := dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, address)
	if err != nil {
		return nil, err // not conn, which is a nil of another type
	}
	return conn, nil
}
