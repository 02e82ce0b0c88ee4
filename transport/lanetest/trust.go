package lanetest

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/trust"
)

// Driver is a driver under the suite of CheckTrust.
type Driver struct {
	Scheme   transport.Scheme
	Protocol string // ALPN
	QUIC     bool   // below it
	Run      func(context.Context, *transport.Lane)
	Serve    func(t *testing.T, cfg *tls.Config) netip.AddrPort // an honest server until the test ends
	Edit     func(*transport.Endpoint)                          // nil: nothing to change
}

// publicName is the outer name of ECH configurations.
const publicName = "public.example"

// CheckTrust wants a driver to demand and show what a trust.Client says, and to report what is wrong in words that help.
func CheckTrust(t *testing.T, d Driver) {
	a, foreign, clients := NewAuthority(t), NewAuthority(t), NewAuthority(t)
	good := a.Server(ServerName, time.Hour, d.Protocol)
	pin := trust.PinOf(leafOf(t, good))
	policy := func(edit func(p *trust.Policy)) trust.Policy {
		p := trust.Policy{Name: ServerName, Roots: a.pool()}
		if d.QUIC {
			p.MinVersion = tls.VersionTLS13
		}
		edit(&p)
		return p
	}
	server := func(edit func(c *tls.Config)) *tls.Config {
		c := good.Clone()
		edit(c)
		return c
	}
	certFile, keyFile := clients.pair(t)
	identity, err := trust.LoadIdentity(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	asking := server(func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients.pool() })
	key, old := ECHKey(t, 1, publicName), ECHKey(t, 2, publicName)
	hiding := server(func(c *tls.Config) {
		c.Certificates = append(c.Certificates, a.Server(publicName, time.Hour).Certificates...)
		c.EncryptedClientHelloKeys, c.MinVersion = []tls.EncryptedClientHelloKey{key}, tls.VersionTLS13
	})
	for _, test := range []struct {
		name   string
		server *tls.Config
		policy trust.Policy
		ech    bool     // accepted
		want   []string // in the reason; none: answers
	}{
		{"pkix", good, policy(func(*trust.Policy) {}), false, nil},
		{"pin", good, policy(func(p *trust.Policy) { p.Pins = []trust.Pin{{1}, pin} }), false, nil},
		{
			"no pin fits", good, policy(func(p *trust.Policy) { p.Pins = []trust.Pin{{1}} }), false,
			[]string{"public key not pinned", pin.String(), transport.CausePin.Advice()},
		},
		{"pin only", foreign.Server("any.example", -time.Minute, d.Protocol), policy(func(p *trust.Policy) { p.Verify, p.Roots, p.Pins = trust.PinOnly, nil, []trust.Pin{{1}} }), false, []string{"public key not pinned"}},
		{"unknown authority", foreign.Server(ServerName, time.Hour, d.Protocol), policy(func(*trust.Policy) {}), false, []string{"unknown authority", transport.CauseUnknownAuthority.Advice()}},
		{"expired", a.Server(ServerName, -time.Minute, d.Protocol), policy(func(*trust.Policy) {}), false, []string{"expired", transport.CauseExpired.Advice()}},
		{"wrong name", a.Server("other.example", time.Hour, d.Protocol), policy(func(*trust.Policy) {}), false, []string{"other.example", transport.CauseWrongName.Advice()}},
		{"another server name", good, policy(func(p *trust.Policy) { p.SNI = "front.example" }), false, nil},
		{"no server name", good, policy(func(p *trust.Policy) { p.NoSNI = true }), false, nil},
		{"server with P-256 alone", server(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }), policy(func(p *trust.Policy) {
			p.Groups = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
		}), false, nil},
		{"no group in common", server(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }), policy(func(p *trust.Policy) {
			p.Groups = []tls.CurveID{tls.X25519}
		}), false, []string{"handshake failure", transport.CauseParameters.Advice()}},
		{"client certificate", asking, policy(func(p *trust.Policy) { p.Identity = identity }), false, nil},
		{"no client certificate", asking, policy(func(*trust.Policy) {}), false, []string{"certificate required", transport.CauseClientCertificate.Advice()}},
		{"ech", hiding, policy(func(p *trust.Policy) { p.ECH = trust.NewECH(true, ECHList(key)) }), true, nil},
		{"ech, old configuration", hiding, policy(func(p *trust.Policy) { p.ECH = trust.NewECH(true, ECHList(old)) }), true, nil},
		{"ech, server without", server(func(c *tls.Config) {
			c.Certificates = append(c.Certificates, a.Server(publicName, time.Hour).Certificates...)
		}), policy(func(p *trust.Policy) { p.ECH = trust.NewECH(false, ECHList(key)) }), false, nil},
		{"ech required, server without", server(func(c *tls.Config) {
			c.Certificates = append(c.Certificates, a.Server(publicName, time.Hour).Certificates...)
		}), policy(func(p *trust.Policy) { p.ECH = trust.NewECH(true, ECHList(key)) }), false, []string{"rejected ECH", transport.CauseECH.Advice()}},
		{"ech required, not known", hiding, policy(func(p *trust.Policy) { p.ECH = trust.NewECH(true, nil) }), false, []string{"no configuration known yet", transport.CauseECH.Advice()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "pin only" { // with the pin of the server that the table has just made
				accepted := test.policy
				accepted.Pins = []trust.Pin{trust.PinOf(leafOf(t, test.server))}
				d.check(t, test.server, accepted, false, nil)
			}
			d.check(t, test.server, test.policy, test.ech, test.want)
		})
	}
	if !d.QUIC {
		old := server(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		d.check(t, old, policy(func(p *trust.Policy) { p.MinVersion = tls.VersionTLS13 }), false, []string{"protocol version", transport.CauseVersion.Advice()})
	}
}

// check asks one question of a server with cfg and looks at what came of it.
func (d Driver) check(t *testing.T, cfg *tls.Config, p trust.Policy, ech bool, want []string) {
	t.Helper()
	client, err := trust.New(p)
	if err != nil {
		t.Fatal(err)
	}
	var health Health
	e := Endpoint(d.Scheme, d.Serve(t, cfg), client.Config(), &health)
	e.Trust = client
	if d.Edit != nil {
		d.Edit(e)
	}
	w := Open(t, e, d.Run, transport.LaneLimits{})
	defer w.Close()
	if len(want) == 0 {
		if r := w.Ask(Name(0), Patience); r.Fault != transport.FaultNone {
			t.Errorf("got fault %v, reasons %v", r.Fault, health.Downs())
		} else if s := client.Session(); s == nil || s.ECH != ech {
			t.Errorf("session %+v, want ECH %t", s, ech)
		}
		return
	}
	explained := func() bool {
		for _, reason := range health.Downs() {
			missing := false
			for _, words := range want {
				missing = missing || !strings.Contains(reason.Error(), words)
			}
			if !missing {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(Patience); !explained(); {
		if time.Now().After(end) {
			t.Fatalf("no reason with %q; got %v", want, health.Downs())
		}
		if r := w.Ask(Name(0), Patience); r.Fault == transport.FaultNone {
			t.Fatalf("an answer where there should be none")
		}
		time.Sleep(time.Millisecond)
	}
}

func leafOf(t *testing.T, cfg *tls.Config) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func (a *Authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// pair writes a client certificate and its key.
func (a *Authority) pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, key := a.sign(&x509.Certificate{
		SerialNumber: a.cert.SerialNumber, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, []string{"client.example"})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert.Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// ECHKey makes a server's key for Encrypted Client Hello, with its configuration (RFC 9849 §4).
func ECHKey(t testing.TB, id byte, public string) tls.EncryptedClientHelloKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte{id, 0x00, 0x20, 0x00, 32}, key.PublicKey().Bytes()...) // DHKEM(X25519, HKDF-SHA256)
	body = append(body, 0, 4, 0, 1, 0, 1, 0, byte(len(public)))                  // HKDF-SHA256 with AES-128-GCM; the name's length
	body = append(append(body, public...), 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(body)))
	return tls.EncryptedClientHelloKey{Config: append(config, body...), PrivateKey: key.Bytes(), SendAsRetry: true}
}

// ECHList is what a server with these keys publishes.
func ECHList(keys ...tls.EncryptedClientHelloKey) []byte {
	var all []byte
	for _, k := range keys {
		all = append(all, k.Config...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(all))), all...)
}
