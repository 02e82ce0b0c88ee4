package appliance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/trust"
)

const guardName = "dns.example"

// authority certifies servers and clients of these tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	made := a.issue(t, "authority", 100*time.Hour)
	a.certificate, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	writeConfig(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})))
	return a
}

// issue certifies a new key for name; the first is the authority's own.
func (a *authority) issue(t *testing.T, name string, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(life), BasicConstraintsValid: true, IsCA: a.certificate == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// write puts a certificate and its key into one file, in the place of what was there.
func write(t *testing.T, file string, c tls.Certificate) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	writeConfig(t, file+".new", string(text))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// guard is a DoT server that remembers hellos and what handshakes agreed on.
type guard struct {
	addr *net.TCPAddr

	mu     sync.Mutex
	hellos []*tls.ClientHelloInfo
	states []tls.ConnectionState
	conns  []net.Conn
}

func startGuard(t *testing.T, cfg *tls.Config) *guard {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{addr: listener.Addr().(*net.TCPAddr)}
	cfg = cfg.Clone()
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.hellos = append(g.hellos, h)
		return nil, nil
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				conn := tls.Server(raw, cfg)
				defer conn.Close()
				if conn.Handshake() != nil {
					return
				}
				g.mu.Lock()
				g.states = append(g.states, conn.ConnectionState())
				g.conns = append(g.conns, raw)
				g.mu.Unlock()
				(&streamServer{conns: nil}).serve(conn, -1)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		g.hangUp()
		group.Wait()
	})
	return g
}

// hangUp ends all connections.
func (g *guard) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

// last returns what the newest connection agreed on, and the newest hello.
func (g *guard) last(t *testing.T) (tls.ConnectionState, *tls.ClientHelloInfo) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.states) == 0 {
		t.Fatal("no connection")
	}
	return g.states[len(g.states)-1], g.hellos[len(g.hellos)-1]
}

// text is a configuration with g as the only upstream.
func (g *guard) text(a *authority, all, own string) string {
	return fmt.Sprintf("%s\n[tls]\nca_file = %q\n%s\n[[upstream]]\nurl = \"tls://%s\"\ntls_name = %q\n%s\n", head, a.file, all, g.addr, guardName, own)
}

func (p *product) answers(t *testing.T, name string) {
	t.Helper()
	if reply := p.ask(t, "udp", name); reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("%s: got %s; log:\n%s", name, dns.RcodeToString[reply.Rcode], p.book)
	}
}

// TestTLSKeys: what each key changes is seen by a real server; an upstream's own key overrules that for all.
func TestTLSKeys(t *testing.T) {
	a := newAuthority(t)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, guardName, 500*time.Hour)}})
	const suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
	for _, test := range []struct {
		all, own string
		want     func(s tls.ConnectionState, h *tls.ClientHelloInfo) bool
	}{
		{"", "", func(s tls.ConnectionState, h *tls.ClientHelloInfo) bool {
			return s.Version == tls.VersionTLS13 && s.CurveID == tls.X25519MLKEM768 && h.SupportedCurves[0] == tls.X25519MLKEM768 && h.ServerName == guardName
		}},
		{`max_version = "1.2"`, "", func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool { return s.Version == tls.VersionTLS12 }},
		{`max_version = "1.2"`, `tls_max_version = "1.3"`, func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool { return s.Version == tls.VersionTLS13 }},
		{"", `tls_max_version = "1.2"`, func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool { return s.Version == tls.VersionTLS12 }},
		{`min_version = "1.3"`, "", func(_ tls.ConnectionState, h *tls.ClientHelloInfo) bool {
			return !slices.Contains(h.SupportedVersions, tls.VersionTLS12)
		}},
		{"", `tls_min_version = "1.3"`, func(_ tls.ConnectionState, h *tls.ClientHelloInfo) bool {
			return !slices.Contains(h.SupportedVersions, tls.VersionTLS12)
		}},
		{`cipher_suites = ["` + suite + `"]`, `tls_max_version = "1.2"`, func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool {
			return tls.CipherSuiteName(s.CipherSuite) == suite
		}},
		{"", "tls_max_version = \"1.2\"\ncipher_suites = [\"" + suite + "\"]", func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool {
			return tls.CipherSuiteName(s.CipherSuite) == suite
		}},
		{`groups = ["secp384r1"]`, "", func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool { return s.CurveID == tls.CurveP384 }},
		{`groups = ["secp384r1"]`, `groups = ["x25519"]`, func(s tls.ConnectionState, _ *tls.ClientHelloInfo) bool { return s.CurveID == tls.X25519 }},
		{"", `sni = "front.example"`, func(_ tls.ConnectionState, h *tls.ClientHelloInfo) bool { return h.ServerName == "front.example" }},
		{"", `sni = "off"`, func(_ tls.ConnectionState, h *tls.ClientHelloInfo) bool { return h.ServerName == "" }},
	} {
		t.Run(test.all+" "+test.own, func(t *testing.T) {
			p := start(t, g.text(a, test.all, test.own))
			p.answers(t, "www.example.")
			if s, h := g.last(t); !test.want(s, h) {
				t.Errorf("version %x, suite %s, group %v; hello for %q with versions %x, groups %v", s.Version, tls.CipherSuiteName(s.CipherSuite), s.CurveID,
					h.ServerName, h.SupportedVersions, h.SupportedCurves)
			}
			if series := p.series(t, "sdp_upstream_tls_info"); len(series) != 1 || !strings.HasSuffix(series[0], " 1") {
				t.Errorf("got %v, want one tls_info", series)
			}
		})
	}
}

// series returns the lines of the metrics page that begin with name.
func (p *product) series(t *testing.T, name string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(p.page(t)) {
		if strings.HasPrefix(line, name+"{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// TestPinKeys: a pin that does not fit keeps the upstream out, the log says which key it has, and a reload with that one lets it in.
func TestPinKeys(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	show := a.issue(t, guardName, 500*time.Hour)
	pin := trust.PinOf(show.Leaf)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{show}})
	other := fmt.Sprintf("pins = [%q]", trust.PinOf(foreign.certificate))
	p := start(t, g.text(a, "", other))
	if got := p.ask(t, "udp", "a.example.").Rcode; got != dns.RcodeServerFailure {
		t.Fatalf("got %s with a pin that does not fit", dns.RcodeToString[got])
	}
	await(t, "the log says what was seen and what to do", func() bool {
		return p.book.count(pin.String()) > 0 && p.book.count("public key not pinned") > 0 && p.book.count("add it to pins") > 0
	})
	reload := func(text string) {
		t.Helper()
		before := p.reloads.Applied.Load()
		writeConfig(t, p.file, text)
		if p.reload(); p.reloads.Applied.Load() != before+1 {
			t.Fatalf("not reloaded:\n%s", p.book)
		}
	}
	reload(g.text(a, "", fmt.Sprintf("pins = [%q, %q]", trust.PinOf(foreign.certificate), "sha256/"+pin.String())))
	p.answers(t, "b.example.")
	reload(g.text(foreign, "", fmt.Sprintf("pins = [%q]", pin)))
	if got := p.ask(t, "udp", "c.example.").Rcode; got != dns.RcodeServerFailure {
		t.Errorf("got %s: a pin was taken for an authority", dns.RcodeToString[got])
	}
	reload(g.text(foreign, "", fmt.Sprintf("pins = [%q]\npin_only = true", pin)))
	p.answers(t, "d.example.")
	if got := p.metric(t, fmt.Sprintf(`sdp_upstream_insecure{upstream="tls://%s"}`, g.addr)); got != "0" {
		t.Errorf("insecure is %s with pin_only", got)
	}
	reload(g.text(foreign, "", "insecure_tls = true"))
	p.answers(t, "e.example.")
	if got := p.metric(t, fmt.Sprintf(`sdp_upstream_insecure{upstream="tls://%s"}`, g.addr)); got != "1" {
		t.Errorf("insecure is %s with insecure_tls", got)
	}
	if p.book.count("is used without verifying its certificate") != 1 {
		t.Errorf("a reload with insecure_tls does not warn:\n%s", p.book)
	}
	reload(g.text(foreign, "", "insecure_tls = true"))
	if p.book.count("is used without verifying its certificate") != 2 {
		t.Error("the next reload does not warn again")
	}
}

// TestClientCertificateKeys: the server sees our certificate, and after it was renewed the new one, without a reload.
func TestClientCertificateKeys(t *testing.T) {
	a, clients := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(clients.certificate)
	g := startGuard(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, guardName, 500*time.Hour)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	file := filepath.Join(t.TempDir(), "client.pem")
	first, second := clients.issue(t, "first", 500*time.Hour), clients.issue(t, "second", time.Hour)
	write(t, file, first)
	p := start(t, g.text(a, "", fmt.Sprintf("client_cert_file = %q\nclient_key_file = %q", file, file)))
	shown := func() string { s, _ := g.last(t); return s.PeerCertificates[0].Subject.CommonName }
	p.answers(t, "a.example.")
	if got := shown(); got != "first" {
		t.Errorf("the server saw %q, want first", got)
	}
	metric := fmt.Sprintf(`sdp_upstream_client_certificate_expiry_timestamp_seconds{upstream="tls://%s"}`, g.addr)
	if got, want := p.metric(t, metric), fmt.Sprint(first.Leaf.NotAfter.Unix()); got != want {
		t.Errorf("expiry %s, want %s", got, want)
	}
	write(t, file, second)
	await(t, "the renewal and the near end are logged", func() bool {
		return p.book.count(`msg="client certificate renewed"`) == 1 && p.book.count(`msg="client certificate expires soon"`) == 1
	})
	g.hangUp()
	await(t, "the server sees the new one", func() bool {
		p.ask(t, "udp", fmt.Sprintf("n%d.example.", time.Now().UnixNano()))
		return shown() == "second"
	})
	writeConfig(t, file, "nothing")
	await(t, "the trouble is logged", func() bool { return p.book.count(`msg="client certificate cannot be read again`) == 1 })
	g.hangUp()
	await(t, "the old one goes on", func() bool {
		reply := p.ask(t, "udp", fmt.Sprintf("n%d.example.", time.Now().UnixNano()))
		return reply.Rcode == dns.RcodeSuccess
	})
	write(t, file, first)
	await(t, "the end of the trouble is logged", func() bool { return p.book.count(`msg="client certificate can be read again"`) == 1 })
	if strings.Contains(p.book.String(), "PRIVATE") {
		t.Error("something of the key is in the log")
	}
}

// TestExpiryWarningKey: one line for each certificate that ends soon, none without the key; the metric is always there.
func TestExpiryWarningKey(t *testing.T) {
	a := newAuthority(t)
	show := a.issue(t, guardName, 48*time.Hour)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{show}})
	metric := fmt.Sprintf(`sdp_upstream_certificate_expiry_timestamp_seconds{upstream="tls://%s"}`, g.addr)
	for setting, want := range map[string]int{"": 1, `expiry_warning = "24h"`: 0, `expiry_warning = "0s"`: 0} {
		p := start(t, g.text(a, setting, ""))
		p.answers(t, "www.example.")
		if got := p.metric(t, metric); got != fmt.Sprint(show.Leaf.NotAfter.Unix()) {
			t.Errorf("%q: expiry %s, want %d", setting, got, show.Leaf.NotAfter.Unix())
		}
		const line = `msg="certificate of the upstream expires soon"`
		if want == 1 {
			await(t, "the end is announced", func() bool { return p.book.count(line) == 1 })
		}
		p.papers.look(time.Now())
		g.hangUp()
		p.answers(t, "other.example.")
		p.papers.look(time.Now())
		if got := p.book.count(line); got != want {
			t.Errorf("%q: %d lines, want %d", setting, got, want)
		}
	}
}

// TestExpiredCertificateIsSeen: the metric shows the end of a certificate that was refused for it.
func TestExpiredCertificateIsSeen(t *testing.T) {
	a := newAuthority(t)
	show := a.issue(t, guardName, -time.Hour)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{show}})
	p := start(t, g.text(a, "", ""))
	p.ask(t, "udp", "www.example.")
	await(t, "the log says so", func() bool {
		return p.book.count("the server needs a new certificate, or the clock here is wrong") > 0 && p.book.count(`msg="certificate of the upstream has expired"`) == 1
	})
	if got := p.metric(t, fmt.Sprintf(`sdp_upstream_certificate_expiry_timestamp_seconds{upstream="tls://%s"}`, g.addr)); got != fmt.Sprint(show.Leaf.NotAfter.Unix()) {
		t.Errorf("expiry %s, want %d", got, show.Leaf.NotAfter.Unix())
	}
}

// TestKeyLogKey: the file has the secrets while the key is there; every load of the file warns.
func TestKeyLogKey(t *testing.T) {
	a := newAuthority(t)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, guardName, 500*time.Hour)}})
	dir := t.TempDir()
	t.Setenv("SSLKEYLOGFILE", filepath.Join(dir, "environment"))
	file := filepath.Join(dir, "keys.log")
	logged := g.text(a, fmt.Sprintf("key_log_file = %q", file), "")
	p := start(t, logged)
	p.answers(t, "a.example.")
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte("CLIENT_TRAFFIC_SECRET_0 ")) {
		t.Errorf("got %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info, err)
	}
	p.reload()
	if p.book.count("level=WARN") == 0 || p.book.count("the secrets of ALL TLS connections") != 1 {
		t.Errorf("no warning at a reload:\n%s", p.book)
	}
	writeConfig(t, p.file, g.text(a, "", ""))
	p.reload()
	g.hangUp()
	p.answers(t, "b.example.")
	again, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("the log grew without its key: %v\n%s", err, again)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the one file", entries, err)
	}
	writeConfig(t, p.file, g.text(a, fmt.Sprintf("key_log_file = %q", filepath.Join(dir, "no", "such")), ""))
	before := p.reloads.Refused.Load()
	if p.reload(); p.reloads.Refused.Load() != before+1 || p.book.count("tls key log") == 0 {
		t.Errorf("a file that cannot be opened was not refused:\n%s", p.book)
	}
}

// TestECHKeys: off, auto and require, with the configuration from DNS and from the file, before a server that has ECH and one that has not.
func TestECHKeys(t *testing.T) {
	a := newAuthority(t)
	key := lanetest.ECHKey(t, 1, "public.example")
	list := lanetest.ECHList(key)
	show := []tls.Certificate{a.issue(t, guardName, 500*time.Hour), a.issue(t, "public.example", 500*time.Hour)}
	with := startGuard(t, &tls.Config{Certificates: show, EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{key}, MinVersion: tls.VersionTLS13})
	without := startGuard(t, &tls.Config{Certificates: show})
	zone := func(list []byte) string {
		server := startDNS(t, func(w dns.ResponseWriter, query *dns.Msg) {
			reply := new(dns.Msg).SetReply(query)
			if q := query.Question[0]; q.Qtype == dns.TypeSVCB && q.Name == "_dns."+guardName+"." && list != nil {
				rr, err := dns.NewRR(fmt.Sprintf("%s 300 IN SVCB 1 %s. alpn=dot port=%d ech=%s", q.Name, guardName, with.addr.Port, base64.StdEncoding.EncodeToString(list)))
				if err != nil {
					t.Error(err)
				}
				reply.Answer = []dns.RR{rr}
			}
			_ = w.WriteMsg(reply)
		})
		return fmt.Sprintf("bootstrap.servers = %q\nbootstrap.through_upstreams = false\n", server)
	}
	published, silent := zone(list), zone(nil)
	own := fmt.Sprintf("\nech_config = %q", base64.StdEncoding.EncodeToString(list))
	for _, test := range []struct {
		name, zone, own string
		server          *guard
		answers, ech    bool
		log             string
	}{
		{"off", published, `ech = "off"`, with, true, false, ""},
		{"auto", published, `ech = "auto"`, with, true, true, `state=accepted`},
		{"require", published, `ech = "require"`, with, true, true, `state=accepted`},
		{"auto, not published", silent, `ech = "auto"`, with, true, false, `state="not published"`},
		{"require, not published", silent, `ech = "require"`, with, false, false, "not published"},
		{"require, from the file", silent, `ech = "require"` + own, with, true, true, `state=accepted`},
		{"auto, server without", silent, `ech = "auto"` + own, without, true, false, `state="disabled by the server"`},
		{"require, server without", silent, `ech = "require"` + own, without, false, false, "server rejected ECH"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, test.zone+test.server.text(a, "", test.own))
			reply := p.ask(t, "udp", "www.example.")
			if got := reply.Rcode == dns.RcodeSuccess; got != test.answers {
				t.Fatalf("got %s", dns.RcodeToString[reply.Rcode])
			}
			if test.answers {
				if s, _ := test.server.last(t); s.ECHAccepted != test.ech {
					t.Errorf("ECH %t, want %t", s.ECHAccepted, test.ech)
				}
				if info := p.series(t, "sdp_upstream_tls_info"); len(info) != 1 || !strings.Contains(info[0], fmt.Sprintf(`ech="%t"`, test.ech)) {
					t.Errorf("got %v", info)
				}
			} else {
				await(t, "advice is logged", func() bool { return p.book.count("must publish a configuration") > 0 })
			}
			await(t, "the log has "+test.log, func() bool { return strings.Contains(p.book.String(), test.log) })
		})
	}
	// The key for all, overruled by nobody.
	p := start(t, published+with.text(a, `ech = "require"`, ""))
	p.answers(t, "www.example.")
	if s, _ := with.last(t); !s.ECHAccepted {
		t.Error("tls.ech had no effect")
	}
}

// TestCertificatesFollow: what a reload keeps is not announced again.
func TestCertificatesFollow(t *testing.T) {
	a := newAuthority(t)
	g := startGuard(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, guardName, 48*time.Hour)}})
	p := start(t, g.text(a, "", ""))
	p.answers(t, "www.example.")
	const line = `msg="certificate of the upstream expires soon"`
	await(t, "the end is announced", func() bool { return p.book.count(line) == 1 })
	p.reload()
	p.papers.look(time.Now())
	if got := p.book.count(line); got != 1 {
		t.Errorf("%d lines after a reload, want 1", got)
	}
	var book logBook
	c := newCertificates(slog.New(slog.NewTextHandler(&book, nil)))
	c.follow(endpointsOf(p.roster.entries), nil, 0)
	c.look(time.Now())
	if book.String() != "" {
		t.Errorf("without a warning time: %s", book.String())
	}
	keys, err := trust.OpenKeyLog(filepath.Join(t.TempDir(), "keys.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	c.follow(nil, []*trust.KeyLog{keys}, 0)
	c.look(time.Now())
	if _, err := keys.Write([]byte("x\n")); err != nil || book.String() != "" {
		t.Errorf("%v; log before anything was lost: %s", err, book.String())
	}
	c.look(time.Now())
	c.look(time.Now())
	if book.count("the tls key log lacks lines") != 1 {
		t.Errorf("lost lines are not said once: %s", book.String())
	}
}
