package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ServerName is the name in every good certificate.
const ServerName = "dns.test.example"

// Authority is a certificate authority made for one test.
type Authority struct {
	tb          testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	issued      int64
	CAFile      string // its own certificate, PEM
}

// Certificate is a server's chain and key, PEM files.
type Certificate struct{ ChainFile, KeyFile string }

// Leaf says what to certify. The zero value is a good certificate for ServerName, 127.0.0.1 and ::1.
type Leaf struct {
	Name     string    // DNS name instead of ServerName; the addresses are left out then
	NotAfter time.Time // instead of tomorrow
	Client   bool      // for a client, not a server
}

// NewAuthority makes a new authority that nobody trusts yet.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "secure-dns-proxy test authority"},
		NotBefore:             time.Now().Add(-48 * time.Hour),
		NotAfter:              time.Now().Add(48 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.CAFile = writePEM(tb, "ca.pem", "CERTIFICATE", der)
	return a
}

// Issue certifies a new key for leaf.
func (a *Authority) Issue(leaf Leaf) Certificate {
	a.tb.Helper()
	key := newKey(a.tb)
	a.issued++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.issued),
		Subject:      pkix.Name{CommonName: "secure-dns-proxy test server"},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{ServerName},
		IPAddresses:  []net.IP{Loopback.AsSlice(), Loopback6.AsSlice()},
	}
	if leaf.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if leaf.Name != "" {
		template.DNSNames, template.IPAddresses = []string{leaf.Name}, nil
	}
	if !leaf.NotAfter.IsZero() {
		template.NotAfter = leaf.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return Certificate{
		ChainFile: writePEM(a.tb, "chain.pem", "CERTIFICATE", der),
		KeyFile:   writePEM(a.tb, "key.pem", "PRIVATE KEY", keyDER),
	}
}

// Pin is the SHA-256 of the leaf's SubjectPublicKeyInfo in base64, computed by openssl as an operator would.
func (c Certificate) Pin(tb testing.TB) string {
	tb.Helper()
	script := "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
	return strings.TrimSpace(run(tb, program(tb, "sh"), "-c", script, c.ChainFile))
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// writePEM writes to a folder of its own, readable by any user: the proxy reads it again after it dropped root.
func writePEM(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	path := filepath.Join(SharedDir(tb), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// SharedDir is a new temporary folder that every user may enter and read; testing's own are root's alone.
func SharedDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "secure-dns-proxy-e2e-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}
