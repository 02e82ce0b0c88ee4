package transport

import (
	"crypto/tls"

	"secure-dns-proxy/transport/trust"
)

// Handshake calls try with the TLS configuration for one attempt to connect to e with one of the application protocols; it is try's own.
// If the server rejects Encrypted Client Hello and says what to use instead, try is called once more, and must use a new connection
// (RFC 9849 §6.1.6). try is not called if ECH is required and there is no configuration for it: trust.ErrNoECH.
func Handshake[C any](e *Endpoint, protocols []string, try func(*tls.Config) (C, error)) (C, error) {
	if e.Trust == nil {
		cfg := e.TLS.Clone()
		cfg.NextProtos = protocols
		return try(cfg)
	}
	conn, again, err := attempt(e.Trust, protocols, try)
	if again {
		conn, _, err = attempt(e.Trust, protocols, try)
	}
	return conn, err
}

func attempt[C any](client *trust.Client, protocols []string, try func(*tls.Config) (C, error)) (conn C, again bool, err error) {
	cfg, err := client.Attempt()
	if err != nil {
		return conn, false, err
	}
	cfg.NextProtos = protocols
	if conn, err = try(cfg); err != nil {
		again = client.Failed(err)
	}
	return conn, again, err
}
