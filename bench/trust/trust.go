// Package trust makes the certificates of one benchmark run: an authority of its own and one certificate for the backend.
package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Name is the backend's, in the certificate besides 127.0.0.1.
const Name = "backend.bench.example"

// validity is how long the certificates are good: longer than any run, and not worth stealing after it.
const validity = 24 * time.Hour

// Files are PEM files; the key can be read by their owner only.
type Files struct {
	CA, Certificate, Key string
}

// Issue writes an authority and a P-256 certificate signed by it to dir.
func Issue(dir string) (Files, error) {
	files := Files{CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "certificate.pem"), Key: filepath.Join(dir, "key.pem")}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("make CA key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "benchmark authority"}, NotBefore: now.Add(-time.Minute),
		NotAfter: now.Add(validity), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: Name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{Name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return Files{}, fmt.Errorf("make CA certificate: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return Files{}, fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Files{}, fmt.Errorf("encode key: %w", err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{files.CA, "CERTIFICATE", caDER}, {files.Certificate, "CERTIFICATE", leafDER}, {files.Key, "PRIVATE KEY", keyDER}} {
		// Programs that give up root must still read the certificates; the key is the backend's, which runs as we do.
		mode := os.FileMode(0o644)
		if f.path == files.Key {
			mode = 0o600
		}
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), mode); err != nil {
			return Files{}, fmt.Errorf("write certificate: %w", err)
		}
	}
	return files, nil
}
