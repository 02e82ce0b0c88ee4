package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
)

// Verify says how a server proves who it is.
type Verify uint8

const (
	// PKIX: a chain to one of Roots, dates, and Name in the certificate; and if there are Pins, one of them on any certificate of the
	// verified chain (RFC 7858 §4.2: "the public keys found in the validated server's certificate chain").
	PKIX Verify = iota
	// PinOnly: Pins instead of Roots (RFC 7858 §4.2, out-of-band key-pinned profile). A pin on the server's own key is enough: the key is
	// the identity, so neither name nor dates count. A pin on an authority's key makes that authority, if the server sends its
	// certificate, the only root: chain, dates and Name are verified, because such a key certifies others as well. A server that rejects
	// ECH is the exception: it is believed only if Roots prove the public name of the configuration.
	PinOnly
	// Nothing is verified: whoever is on the path can answer.
	Nothing
)

// Policy is what is configured for one upstream.
type Policy struct {
	Name   string // to find in the certificate: a DNS name or an IP address
	Also   string // with PKIX: another one to find in it, "" = none (RFC 9462 §4.2: the address of the resolver that designated this one)
	SNI    string // server name to send; "" = Name, if that is no address
	NoSNI  bool   // send none
	Verify Verify
	Roots  *x509.CertPool // nil = the system's
	Pins   []Pin

	MinVersion, MaxVersion uint16        // tls.VersionTLS12 or tls.VersionTLS13; 0 = crypto/tls's own
	CipherSuites           []uint16      // of TLS 1.2; nil = crypto/tls's own. TLS 1.3 has a fixed set
	Groups                 []tls.CurveID // key exchange; nil = crypto/tls's own. The order is crypto/tls's, hybrids with ML-KEM first

	Identity *Identity // client certificate, shown to a server that asks for one; nil = none
	ECH      *ECH      // nil = off
	KeyLog   io.Writer // nil = off; secrets go there
}

func (p *Policy) check() error {
	var problems []error
	if p.Name == "" && p.Verify != Nothing {
		problems = append(problems, errors.New("no name to verify"))
	}
	if p.Verify == PinOnly && len(p.Pins) == 0 {
		problems = append(problems, errors.New("verification by pin without a pin"))
	}
	if p.Also != "" && p.Verify != PKIX {
		problems = append(problems, errors.New("a second name is found only in a certificate that is verified"))
	}
	if p.Verify == Nothing && len(p.Pins) > 0 {
		problems = append(problems, errors.New("pins without verification"))
	}
	if p.MaxVersion != 0 && p.MaxVersion < p.MinVersion {
		problems = append(problems, errors.New("highest TLS version below the lowest"))
	}
	if p.ECH != nil && p.MaxVersion != 0 && p.MaxVersion < tls.VersionTLS13 {
		problems = append(problems, errors.New("ECH needs TLS 1.3"))
	}
	return errors.Join(problems...)
}

// serverName is what tls.Config.ServerName is to be.
func (p *Policy) serverName() string {
	switch {
	case p.NoSNI:
		return ""
	case p.SNI != "":
		return p.SNI
	}
	return p.Name
}
