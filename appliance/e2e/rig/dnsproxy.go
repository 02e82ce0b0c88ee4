package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// DNSProxy is AdGuard's dnsproxy as a DoQ and DoH server in front of an Unbound: a QUIC server that was not written here. HTTPS is HTTP/2
// over TCP and HTTP/3 over UDP.
type DNSProxy struct {
	tb          testing.TB
	QUIC, HTTPS netip.AddrPort
	path        string
	arguments   []string
	process     *Process
}

// NewDNSProxy starts the program at path with the given certificate; it forwards to upstream over plain UDP, uncached.
func NewDNSProxy(tb testing.TB, path string, certificate Certificate, upstream netip.AddrPort) *DNSProxy {
	tb.Helper()
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("no DoQ server: %v; build it with make peers", err)
	}
	d := &DNSProxy{tb: tb, path: path, QUIC: FreeAddr(tb), HTTPS: FreeAddr(tb)}
	d.arguments = []string{
		"--listen=" + Loopback.String(), "--port=0",
		fmt.Sprintf("--quic-port=%d", d.QUIC.Port()), fmt.Sprintf("--https-port=%d", d.HTTPS.Port()), "--http3",
		"--tls-crt=" + certificate.ChainFile, "--tls-key=" + certificate.KeyFile,
		"--upstream=" + upstream.String(),
	}
	d.Start()
	return d
}

// Start starts the program, after Kill on the same ports again, and waits until it answers over DoQ.
func (d *DNSProxy) Start() {
	d.tb.Helper()
	d.process = startProcess(d.tb, "dnsproxy", exec.Command(d.path, d.arguments...))
	Eventually(d.tb, startTimeout, "dnsproxy listens", func() bool {
		if !d.process.Running() {
			d.tb.Fatalf("dnsproxy ended:\n%s", d.process.Log())
		}
		return len(d.process.LogLines("listen", d.QUIC.String())) > 0
	})
}

// Kill ends the program at once.
func (d *DNSProxy) Kill() {
	d.tb.Helper()
	d.process.Kill()
}

// Freeze stops the program from running, until Thaw.
func (d *DNSProxy) Freeze() {
	d.tb.Helper()
	d.process.Signal(syscall.SIGSTOP)
}

// Thaw lets it run again.
func (d *DNSProxy) Thaw() {
	d.tb.Helper()
	d.process.Signal(syscall.SIGCONT)
}
