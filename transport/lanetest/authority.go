package lanetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"secure-dns-proxy/transport"
)

// Authority signs certificates for loopback servers.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// ServerName is the name on certificates unless a test wants another.
const ServerName = "dns.example"

// NewAuthority makes a certificate authority that nobody knows yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template, nil)
	return a
}

// sign makes a key and signs template for it, with itself if there is no certificate yet.
func (a *Authority) sign(template *x509.Certificate, names []string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.DNSNames = names
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// Server returns the configuration of a server with a certificate for name, valid until notAfter from now.
func (a *Authority) Server(name string, notAfter time.Duration, protocols ...string) *tls.Config {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(notAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, []string{name})
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, NextProtos: protocols, MinVersion: tls.VersionTLS12,
	}
}

// Client returns the configuration of a client that trusts the authority and expects name.
func (a *Authority) Client(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{ServerName: name, RootCAs: pool, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

// Endpoint returns an endpoint at address with one connection and limits that suit a test; client may be nil for tcp.
func Endpoint(scheme transport.Scheme, address netip.AddrPort, client *tls.Config, health transport.Reporter) *transport.Endpoint {
	e := &transport.Endpoint{
		Name: scheme.String() + "://" + ServerName, Scheme: scheme, Host: ServerName, Port: address.Port(),
		Addresses: transport.NewAddresses(address), TLS: client, Conns: 1,
		DialTimeout: 10 * time.Second, IdleTimeout: time.Minute, DeadAfter: 10 * time.Second, Health: health,
	}
	if scheme == transport.HTTPS {
		e.Path = "/dns-query"
	}
	return e
}

// Certificate returns the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }
