package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strconv"
	"sync/atomic"
)

// Client is a policy in force for one upstream.
type Client struct {
	policy   Policy
	own      bool // we verify, not crypto/tls: it knows one name for both purposes and no pins without roots
	base     *tls.Config
	sessions tls.ClientSessionCache
	leaf     atomic.Pointer[Leaf]
	session  atomic.Pointer[Session]
}

// New returns a client that follows p, or everything that is wrong with p, joined.
func New(p Policy) (*Client, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	c := &Client{policy: p, own: p.Verify != PKIX || p.serverName() != p.Name, sessions: tls.NewLRUClientSessionCache(sessionsMax)}
	c.base = &tls.Config{
		ServerName:         p.serverName(),
		RootCAs:            p.Roots,
		MinVersion:         p.MinVersion,
		MaxVersion:         p.MaxVersion,
		CipherSuites:       p.CipherSuites,
		CurvePreferences:   p.Groups,
		InsecureSkipVerify: c.own, // then verify does it
		VerifyConnection:   c.verify,
		KeyLogWriter:       p.KeyLog,
		ClientSessionCache: c.sessions,
	}
	if p.Verify == Nothing {
		// Otherwise crypto/tls wants the public name of the ECH configuration in a chain to Roots, also with PinOnly: the callback gets to see no
		// certificate (Go 1.26, handshake_client.go, verifyServerCertificate), so that pins cannot be looked at here.
		c.base.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return nil }
	}
	return c, nil
}

// Config returns what all attempts have in common. It verifies as the policy wants, but shows no client certificate and has no ECH.
// It is shared: do not modify it.
func (c *Client) Config() *tls.Config { return c.base }

// Insecure reports whether the server's certificate is not verified at all.
func (c *Client) Insecure() bool { return c.policy.Verify == Nothing }

// ECH returns the state of Encrypted Client Hello, nil if it is off.
func (c *Client) ECH() *ECH { return c.policy.ECH }

// Identity returns the client certificate, nil if there is none.
func (c *Client) Identity() *Identity { return c.policy.Identity }

// Attempt returns the configuration of one handshake, the caller's own: Config with the client certificate and the ECH configurations as
// they are now. It fails with ErrNoECH if ECH is required and there is no configuration.
func (c *Client) Attempt() (*tls.Config, error) {
	cfg := c.base.Clone()
	if c.policy.Identity != nil {
		certificate, generation := c.policy.Identity.current()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		cfg.ClientSessionCache = generationCache{c.sessions, "#" + strconv.FormatUint(generation, 10)}
	}
	if c.policy.ECH == nil {
		return cfg, nil
	}
	list, err := c.policy.ECH.current()
	if err != nil {
		return nil, err
	}
	if list != nil {
		cfg.EncryptedClientHelloConfigList = list
		cfg.MinVersion = tls.VersionTLS13 // crypto/tls insists
	}
	return cfg, nil
}

// Failed takes note of why a handshake with the configuration from Attempt failed, and reports whether another attempt, at once and on a
// new connection, is worth it: the server has rejected ECH and said what to use instead (RFC 9849 §6.1.6).
func (c *Client) Failed(err error) (again bool) {
	if verification, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(verification.UnverifiedCertificates) > 0 {
		c.leaf.Store(leafOf(verification.UnverifiedCertificates[0]))
	}
	rejection, ok := errors.AsType[*tls.ECHRejectionError](err)
	return ok && c.policy.ECH != nil && c.policy.ECH.rejected(rejection.RetryConfigList)
}

// verify is tls.Config.VerifyConnection.
func (c *Client) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("server without a certificate")
	}
	c.leaf.Store(leafOf(s.PeerCertificates[0]))
	if e := c.policy.ECH; e != nil && e.Required() && !s.ECHAccepted {
		return ErrNoECH
	}
	if err := c.authenticate(&s); err != nil {
		return err
	}
	if s.ECHAccepted {
		c.policy.ECH.worked()
	}
	c.session.Store(sessionOf(&s))
	return nil
}

func (c *Client) authenticate(s *tls.ConnectionState) error {
	switch c.policy.Verify {
	case Nothing:
		return nil
	case PinOnly:
		return c.pinned(s.PeerCertificates)
	}
	chains := s.VerifiedChains
	if c.own {
		var err error
		if chains, err = c.chains(s.PeerCertificates, c.policy.Roots); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err} // as crypto/tls does
		}
	}
	if c.policy.Also != "" {
		if err := s.PeerCertificates[0].VerifyHostname(c.policy.Also); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
	}
	if len(c.policy.Pins) == 0 {
		return nil
	}
	for _, chain := range chains {
		for _, certificate := range chain {
			if c.isPinned(certificate) {
				return nil
			}
		}
	}
	return newPinError(longest(chains), nil)
}

// chains verifies as crypto/tls would, with Name for the name.
func (c *Client) chains(sent []*x509.Certificate, roots *x509.CertPool) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, certificate := range sent[1:] {
		between.AddCert(certificate)
	}
	return sent[0].Verify(x509.VerifyOptions{DNSName: c.policy.Name, Roots: roots, Intermediates: between})
}

// pinned is the verification of PinOnly.
func (c *Client) pinned(sent []*x509.Certificate) error {
	if c.isPinned(sent[0]) {
		return nil
	}
	authorities, any := x509.NewCertPool(), false
	for _, certificate := range sent[1:] {
		if c.isPinned(certificate) {
			authorities.AddCert(certificate)
			any = true
		}
	}
	if !any {
		return newPinError(sent, nil)
	}
	if _, err := c.chains(sent, authorities); err != nil { // anyone can send the certificate of an authority beside his own
		return newPinError(sent, err)
	}
	return nil
}

func (c *Client) isPinned(certificate *x509.Certificate) bool {
	seen := PinOf(certificate)
	for _, pin := range c.policy.Pins {
		if pin == seen {
			return true
		}
	}
	return false
}

func longest(chains [][]*x509.Certificate) (best []*x509.Certificate) {
	for _, chain := range chains {
		if len(chain) > len(best) {
			best = chain
		}
	}
	return best
}

// generationCache keeps the sessions that began with one client certificate apart from those with another: the server would go on to
// see the old one in them.
type generationCache struct {
	tls.ClientSessionCache
	suffix string
}

func (g generationCache) Get(key string) (*tls.ClientSessionState, bool) {
	return g.ClientSessionCache.Get(key + g.suffix)
}

func (g generationCache) Put(key string, state *tls.ClientSessionState) {
	g.ClientSessionCache.Put(key+g.suffix, state)
}
