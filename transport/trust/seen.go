package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Leaf is a server's or client's own certificate.
type Leaf struct {
	NotBefore, NotAfter time.Time
	Subject             string
	Fingerprint         [sha256.Size]byte // of the whole certificate
}

func leafOf(c *x509.Certificate) *Leaf {
	return &Leaf{NotBefore: c.NotBefore, NotAfter: c.NotAfter, Subject: c.Subject.String(), Fingerprint: sha256.Sum256(c.Raw)}
}

// WarnFrom is when it is time to speak about the end of l's validity: warning before it, but not before three quarters of it have
// passed, which for a certificate of a few days is the usual state.
func (l *Leaf) WarnFrom(warning time.Duration) time.Time {
	return l.NotAfter.Add(-min(warning, l.NotAfter.Sub(l.NotBefore)/4))
}

// Leaf returns the certificate that the server showed last, accepted or not; nil before the first.
func (c *Client) Leaf() *Leaf { return c.leaf.Load() }

// Session is what a handshake agreed on.
type Session struct {
	Version, CipherSuite uint16
	Group                tls.CurveID // 0: none, in a resumed session of TLS 1.2
	ECH                  bool
	Resumed              bool
}

func sessionOf(s *tls.ConnectionState) *Session {
	return &Session{Version: s.Version, CipherSuite: s.CipherSuite, Group: s.CurveID, ECH: s.ECHAccepted, Resumed: s.DidResume}
}

// Session returns what the last successful handshake agreed on; nil before the first.
func (c *Client) Session() *Session { return c.session.Load() }
