package trust

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const serverName = "dns.example"

// link is a certificate with its key.
type link struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate for names, signed by issuer, or by itself. No name makes it an authority.
func issue(t testing.TB, issuer *link, notAfter time.Duration, names ...string) *link {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(notAfter),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if len(names) > 0 {
		template.Subject.CommonName, template.IsCA = names[0], false
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, name)
			}
		}
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	made := &link{template, key}
	if issuer == nil {
		issuer = made
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.certificate, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

// chain is what a server shows: l and what is above it.
func (l *link) chain(above ...*link) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{l.certificate.Raw}, PrivateKey: l.key}
	for _, a := range above {
		c.Certificate = append(c.Certificate, a.certificate.Raw)
	}
	return c
}

func (l *link) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(l.certificate)
	return pool
}

func (l *link) pin() Pin { return PinOf(l.certificate) }

// write puts l into two files of dir.
func (l *link) write(t testing.TB, dir string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(l.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ file, kind string }{{certFile, "CERTIFICATE"}, {keyFile, "PRIVATE KEY"}} {
		body := l.certificate.Raw
		if f.kind != "CERTIFICATE" {
			body = der
		}
		// As renewals do it: a new file in the place of the old one.
		if err := os.WriteFile(f.file+".new", pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: body}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(f.file+".new", f.file); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// echo is a TLS server that sends one byte to everybody and keeps what it saw last.
type echo struct {
	addr  string
	hello chan string // server name of each hello that was answered
	state chan tls.ConnectionState
}

func serveTLS(t testing.TB, cfg *tls.Config) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: listener.Addr().String(), hello: make(chan string, 100), state: make(chan tls.ConnectionState, 100)}
	cfg = cfg.Clone()
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		e.hello <- h.ServerName
		return nil, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, cfg)
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			if conn.Handshake() == nil {
				e.state <- conn.ConnectionState()
				conn.Write([]byte("x"))
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return e
}

// dial makes one attempt and reads the byte, with which come the tickets.
func (e *echo) dial(t testing.TB, c *Client) (tls.ConnectionState, error) {
	t.Helper()
	cfg, err := c.Attempt()
	if err != nil {
		return tls.ConnectionState{}, err
	}
	return e.dialWith(t, cfg)
}

func (e *echo) dialWith(t testing.TB, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: cfg}
	conn, err := dialer.DialContext(ctx, "tcp", e.addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return state, err
	}
	return state, nil
}

// echKey makes a configuration with its key (RFC 9849 §4).
func echKey(t testing.TB, id byte, public string) tls.EncryptedClientHelloKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{id, 0x00, 0x20, 0x00, 32} // DHKEM(X25519, HKDF-SHA256)
	body = append(body, key.PublicKey().Bytes()...)
	body = append(body, 0, 4, 0, 1, 0, 1) // HKDF-SHA256 with AES-128-GCM
	body = append(body, 0, byte(len(public)))
	body = append(body, public...)
	body = append(body, 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(body)))
	return tls.EncryptedClientHelloKey{Config: append(config, body...), PrivateKey: key.Bytes(), SendAsRetry: true}
}

// echList is what a server with these keys publishes.
func echList(keys ...tls.EncryptedClientHelloKey) []byte {
	var all []byte
	for _, k := range keys {
		all = append(all, k.Config...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(all))), all...)
}
