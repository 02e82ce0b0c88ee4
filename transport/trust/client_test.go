package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newClient(t testing.TB, p Policy) *Client {
	t.Helper()
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestVerify: who is let in, for each way to verify, also when a session is resumed.
func TestVerify(t *testing.T) {
	root, foreign := issue(t, nil, time.Hour), issue(t, nil, time.Hour)
	middle := issue(t, root, time.Hour)
	good, expired := issue(t, middle, time.Hour, serverName), issue(t, middle, -time.Hour, serverName)
	other := issue(t, middle, time.Hour, "other.example")
	stranger := issue(t, foreign, time.Hour, serverName)
	unrelated := issue(t, nil, time.Hour).pin()
	pkix := Policy{Name: serverName, Roots: root.pool()}
	with := func(p Policy, pins ...Pin) Policy { p.Pins = pins; return p }
	only := func(pins ...Pin) Policy { return Policy{Name: serverName, Verify: PinOnly, Pins: pins} }
	designated := pkix
	designated.Also = "192.0.2.1"
	both := issue(t, middle, time.Hour, serverName, "192.0.2.1")
	elsewhere := issue(t, middle, time.Hour, serverName, "192.0.2.2")
	sni := pkix
	sni.SNI = "front.example"
	for _, test := range []struct {
		name   string
		policy Policy
		show   tls.Certificate
		want   string // in the error; empty: accepted
	}{
		{"pkix", pkix, good.chain(middle), ""},
		{"RFC 9462 §4.2, the name and the address", designated, both.chain(middle), ""},
		{"RFC 9462 §4.2, no address", designated, good.chain(middle), "192.0.2.1"},
		{"RFC 9462 §4.2, another address", designated, elsewhere.chain(middle), "192.0.2.2"},
		{"RFC 9462 §4.2, the address but another name", designated, issue(t, middle, time.Hour, "other.example", "192.0.2.1").chain(middle), "other.example"},
		{"RFC 9462 §4.2, a pin beside", with(designated, unrelated), both.chain(middle), both.pin().String()},
		{"pkix, unknown authority", pkix, stranger.chain(), "unknown authority"},
		{"pkix, expired", pkix, expired.chain(middle), "expired"},
		{"pkix, wrong name", pkix, other.chain(middle), "other.example"},
		{"pin of the leaf", with(pkix, good.pin()), good.chain(middle), ""},
		{"backup pin", with(pkix, unrelated, good.pin()), good.chain(middle), ""},
		{"pin of the intermediate", with(pkix, middle.pin()), good.chain(middle), ""},
		{"pin of the root, which is not sent", with(pkix, root.pin()), good.chain(middle), ""},
		{"no pin fits", with(pkix, unrelated), good.chain(middle), good.pin().String()},
		{"a pin does not replace the authority", with(pkix, stranger.pin()), stranger.chain(), "unknown authority"},
		{"a pinned certificate that signed nothing", with(pkix, foreign.pin()), good.chain(middle, foreign), "no pin fits"},

		{"pin only", only(good.pin()), good.chain(), ""},
		{"pin only, any name", only(other.pin()), other.chain(), ""},
		{"pin only, expired", only(expired.pin()), expired.chain(), ""},
		{"pin only, no pin fits", only(unrelated), good.chain(middle), good.pin().String()},
		{"pin only, authority", only(middle.pin()), good.chain(middle), ""},
		{"pin only, authority that is not sent", only(root.pin()), good.chain(middle), "no pin fits"},
		{"pin only, authority of another name", only(middle.pin()), other.chain(middle), "other.example"},
		{"pin only, authority, expired", only(middle.pin()), expired.chain(middle), "expired"},
		{"pin only, authority sent by a stranger", only(middle.pin()), stranger.chain(middle), "did not certify"},

		{"another server name", sni, good.chain(middle), ""},
		{"another server name, wrong certificate", sni, other.chain(middle), "other.example"},
		{"another server name, unknown authority", sni, stranger.chain(), "unknown authority"},
		{"another server name, pinned", with(sni, good.pin()), good.chain(middle), ""},
		{"another server name, no pin fits", with(sni, unrelated), good.chain(middle), "no pin fits"},

		{"nothing", Policy{Name: serverName, Verify: Nothing}, stranger.chain(), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{test.show}})
			c := newClient(t, test.policy)
			_, err := server.dial(t, c)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			if strings.Contains(test.want, "no pin fits") {
				if pin, ok := errors.AsType[*PinError](err); !ok || len(pin.Seen) == 0 {
					t.Errorf("got %T, want a PinError with the keys seen", err)
				}
			}
			if err != nil {
				c.Failed(err)
			}
			if leaf := c.Leaf(); leaf == nil || leaf.NotAfter.Unix() != leafEnd(t, test.show) {
				t.Errorf("leaf %+v is not the one that was shown", leaf)
			}
			if (c.Session() != nil) != (err == nil) {
				t.Errorf("session %+v after error %v", c.Session(), err)
			}
		})
	}
}

func leafEnd(t *testing.T, c tls.Certificate) int64 {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.NotAfter.Unix()
}

// A pin counts for resumed sessions as well: crypto/tls has no certificates to verify in them, and calls VerifyConnection all the same.
func TestPinsOfResumedSessions(t *testing.T) {
	root := issue(t, nil, time.Hour)
	leaf := issue(t, root, time.Hour, serverName)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{leaf.chain()}, MaxVersion: version})
		policy := Policy{Name: serverName, Roots: root.pool(), Pins: []Pin{leaf.pin()}}
		c := newClient(t, policy)
		if _, err := server.dial(t, c); err != nil {
			t.Fatal(err)
		}
		state, err := server.dial(t, c)
		if err != nil || !state.DidResume || !c.Session().Resumed {
			t.Fatalf("%x: got %v, resumed %t, want a resumed session", version, err, state.DidResume)
		}
		policy.Pins = []Pin{root.pin()}
		stricter := newClient(t, policy)
		policy.Pins = []Pin{issue(t, nil, time.Hour).pin()}
		refusing := newClient(t, policy)
		for _, other := range []*Client{stricter, refusing} {
			other.base.ClientSessionCache = c.base.ClientSessionCache // as if the pins had changed under the session
		}
		if state, err = server.dial(t, stricter); err != nil || !state.DidResume {
			t.Errorf("%x: a pin of the root: got %v, resumed %t", version, err, state.DidResume)
		}
		if _, err = server.dial(t, refusing); err == nil || !strings.Contains(err.Error(), "no pin fits") {
			t.Errorf("%x: got %v, want the session refused", version, err)
		}
	}
}

// TestServerName: what is sent, and what that has to do with what is verified.
func TestServerName(t *testing.T) {
	root := issue(t, nil, time.Hour)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}})
	for _, test := range []struct {
		policy Policy
		want   string
	}{
		{Policy{Name: serverName}, serverName},
		{Policy{Name: serverName, SNI: "front.example"}, "front.example"},
		{Policy{Name: serverName, NoSNI: true}, ""},
	} {
		test.policy.Roots = root.pool()
		for range 2 { // the second with a session
			if _, err := server.dial(t, newClient(t, test.policy)); err != nil {
				t.Errorf("%+v: %v", test.policy, err)
			}
			if got := <-server.hello; got != test.want {
				t.Errorf("the server saw %q, want %q", got, test.want)
			}
		}
	}
}

// TestGroups: the hybrid group is preferred, and a server that knows only one of the others still works.
func TestGroups(t *testing.T) {
	root := issue(t, nil, time.Hour)
	show := []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}
	usual := []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}
	for _, test := range []struct {
		name         string
		ours, theirs []tls.CurveID
		want         tls.CurveID // 0: no handshake
	}{
		{"all", usual, nil, tls.X25519MLKEM768},
		{"server without hybrids", usual, []tls.CurveID{tls.X25519}, tls.X25519},
		{"server with P-256 alone", usual, []tls.CurveID{tls.CurveP256}, tls.CurveP256},
		{"we without hybrids", []tls.CurveID{tls.X25519}, nil, tls.X25519},
		{"hybrids alone", []tls.CurveID{tls.X25519MLKEM768}, []tls.CurveID{tls.X25519}, 0},
	} {
		server := serveTLS(t, &tls.Config{Certificates: show, CurvePreferences: test.theirs})
		c := newClient(t, Policy{Name: serverName, Roots: root.pool(), Groups: test.ours})
		_, err := server.dial(t, c)
		if test.want == 0 {
			if err == nil {
				t.Errorf("%s: connected", test.name)
			}
			continue
		}
		if err != nil || c.Session().Group != test.want {
			t.Errorf("%s: got %+v, %v, want %v", test.name, c.Session(), err, test.want)
		}
	}
}

// TestVersionsAndSuites: limits of the policy decide.
func TestVersionsAndSuites(t *testing.T) {
	root := issue(t, nil, time.Hour)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}})
	old := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}, MaxVersion: tls.VersionTLS12})
	c := newClient(t, Policy{Name: serverName, Roots: root.pool(), MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}})
	if _, err := server.dial(t, c); err != nil || c.Session().Version != tls.VersionTLS12 || c.Session().CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 {
		t.Errorf("got %+v, %v", c.Session(), err)
	}
	c = newClient(t, Policy{Name: serverName, Roots: root.pool(), MinVersion: tls.VersionTLS13})
	if _, err := old.dial(t, c); err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("got %v, want the version refused", err)
	}
}

func TestPolicyProblems(t *testing.T) {
	for want, p := range map[string]Policy{
		"no name":          {},
		"without a pin":    {Name: serverName, Verify: PinOnly},
		"without verifica": {Verify: Nothing, Pins: make([]Pin, 1)},
		"below the lowest": {Name: serverName, MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12},
		"ECH needs":        {Name: serverName, MaxVersion: tls.VersionTLS12, ECH: NewECH(false, nil)},
	} {
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestParsePin(t *testing.T) {
	pin := PinOf(issue(t, nil, time.Hour).certificate)
	for _, text := range []string{pin.String(), "sha256/" + pin.String()} {
		if got, err := ParsePin(text); err != nil || got != pin {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sha256/", pin.String()[1:], pin.String() + "=", "sha1/" + pin.String(), strings.Repeat("A", 43) + "*", strings.Repeat("A", 42) + "B="} {
		if _, err := ParsePin(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestWarnFrom(t *testing.T) {
	end := time.Unix(1_000_000_000, 0)
	for _, test := range []struct{ life, warning, want time.Duration }{
		{90 * 24 * time.Hour, 14 * 24 * time.Hour, 14 * 24 * time.Hour},
		{6 * 24 * time.Hour, 14 * 24 * time.Hour, 36 * time.Hour},
		{90 * 24 * time.Hour, 0, 0},
	} {
		leaf := Leaf{NotBefore: end.Add(-test.life), NotAfter: end}
		if got := end.Sub(leaf.WarnFrom(test.warning)); got != test.want {
			t.Errorf("%v of %v: %v before the end, want %v", test.warning, test.life, got, test.want)
		}
	}
}

// TestKeyLog: secrets go where the policy says, into a file that is the owner's alone, and nowhere else.
func TestKeyLog(t *testing.T) {
	root := issue(t, nil, time.Hour)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}})
	dir := t.TempDir()
	byEnvironment := filepath.Join(dir, "environment")
	t.Setenv("SSLKEYLOGFILE", byEnvironment)
	path := filepath.Join(dir, "keys")
	if err := os.WriteFile(path, []byte("# before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := OpenKeyLog(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Policy{{Name: serverName, Roots: root.pool(), KeyLog: log}, {Name: serverName, Roots: root.pool()}} {
		if _, err := server.dial(t, newClient(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(text, []byte("# before\nCLIENT_")) || bytes.Count(text, []byte("CLIENT_TRAFFIC_SECRET_0 ")) != 1 {
		t.Errorf("got %q, %v, want the secrets of one connection behind what was there", text, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := os.Stat(byEnvironment); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the environment made a key log: %v", err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyLog(filepath.Join(dir, "link")); err == nil {
		t.Error("a symbolic link was followed")
	}
	before, err := os.Stat(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyLog(os.DevNull); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a device: got %v", err)
	}
	if after, err := os.Stat(os.DevNull); err != nil || after.Mode() != before.Mode() {
		t.Fatalf("%s has mode %v now, %v", os.DevNull, after.Mode(), err)
	}
	// A log that cannot be written keeps nobody from connecting, and says so.
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.dial(t, newClient(t, Policy{Name: serverName, Roots: root.pool(), KeyLog: log})); err != nil || log.Problem() == nil {
		t.Errorf("got %v, problem %v", err, log.Problem())
	}
}
