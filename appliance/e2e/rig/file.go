package rig

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartFile starts the binary with a configuration file of any form and waits until it answers on addr. trust, if not empty, is a PEM
// file in place of the system's certificates.
func StartFile(tb testing.TB, binary, file string, addr netip.AddrPort, trust string) *Process {
	tb.Helper()
	command := exec.Command(binary, "--config", file)
	if trust != "" {
		command.Env = append(os.Environ(), "SSL_CERT_FILE="+trust, "SSL_CERT_DIR="+filepath.Dir(trust))
	}
	p := startProcess(tb, "secure-dns-proxy", command)
	Eventually(tb, startTimeout, "the proxy answers", func() bool {
		if !p.Running() {
			tb.Fatalf("the proxy ended:\n%s", p.Log())
		}
		return answers(addr)
	})
	return p
}

// WriteFile writes a configuration file that every user may read, and returns its path.
func WriteFile(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(SharedDir(tb), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}
