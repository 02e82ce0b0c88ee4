package trust

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestIdentity: a server that wants a certificate gets the one in the files, and the new one as soon as the files change, sessions or not.
func TestIdentity(t *testing.T) {
	root, clients := issue(t, nil, time.Hour), issue(t, nil, time.Hour)
	server := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients.pool(),
	})
	dir := t.TempDir()
	first, second := issue(t, clients, time.Hour, "first"), issue(t, clients, 2*time.Hour, "second")
	identity, err := LoadIdentity(first.write(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Policy{Name: serverName, Roots: root.pool(), Identity: identity})
	shown := func(step, want string, resumed bool) {
		t.Helper()
		state, err := server.dial(t, c)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		got := (<-server.state).PeerCertificates[0].Subject.CommonName
		if got != want || state.DidResume != resumed {
			t.Errorf("%s: the server saw %q, resumed %t; want %q, %t", step, got, state.DidResume, want, resumed)
		}
	}
	shown("first", "first", false)
	shown("session", "first", true)
	certFile, keyFile := second.write(t, dir)
	shown("renewed", "second", false)
	shown("session of the renewed one", "second", true)
	if identity.Problem() != nil || !identity.Leaf().NotAfter.Equal(second.certificate.NotAfter) {
		t.Errorf("leaf %+v, problem %v", identity.Leaf(), identity.Problem())
	}

	// While the files are no pair, or not there, the old one stays.
	half := t.TempDir()
	third := issue(t, clients, time.Hour, "third")
	newCert, newKey := third.write(t, half)
	rename(t, newCert, certFile)
	shown("half renewed", "second", true)
	if problem := identity.Problem(); problem == nil || !strings.Contains(problem.Error(), "does not match") {
		t.Errorf("problem is %v", problem)
	}
	rename(t, newKey, keyFile)
	shown("both renewed", "third", false)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	shown("key gone", "third", true)
	if problem := identity.Problem(); problem == nil || !strings.Contains(problem.Error(), "no such file") {
		t.Errorf("problem is %v", problem)
	}
	first.write(t, dir)
	shown("back", "first", false)

	without := newClient(t, Policy{Name: serverName, Roots: root.pool()})
	if _, err := server.dial(t, without); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestIdentityProblems: what is wrong is said with the file's name and without anything from inside the key.
func TestIdentityProblems(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := issue(t, nil, time.Hour, "a").write(t, dir)
	_, foreignKey := issue(t, nil, time.Hour, "b").write(t, t.TempDir())
	secret := "c2VjcmV0IHNlY3JldA=="
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	locked := file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"+secret+"\n-----END ENCRYPTED PRIVATE KEY-----\n")
	old := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES"}, Bytes: []byte(secret)}))
	for _, test := range []struct{ cert, key, want string }{
		{certFile, filepath.Join(dir, "nowhere.pem"), `nowhere.pem": cannot read: no such file or directory`},
		{filepath.Join(dir, "nowhere.pem"), keyFile, `nowhere.pem": cannot read: no such file or directory`},
		{certFile, foreignKey, "private key does not match public key"},
		{certFile, locked, "passphrase"},
		{certFile, file("old.pem", old), "passphrase"},
		{certFile, file("bad.pem", "-----BEGIN PRIVATE KEY-----\n"+secret+"\n-----END PRIVATE KEY-----\n"), "failed to parse private key"},
		{certFile, file("large.pem", strings.Repeat(secret, keyFileBytesMax/len(secret)+1)), "larger than"},
		{keyFile, keyFile, "failed to find certificate"},
	} {
		_, err := LoadIdentity(test.cert, test.key)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	if err := fileProblem("k", &os.PathError{Op: "open", Path: "k", Err: os.ErrPermission}); !strings.Contains(err.Error(), "the user that the proxy runs as") {
		t.Errorf("got %v, want advice", err)
	}
}
