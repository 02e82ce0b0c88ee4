package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CoreDNS is a CoreDNS in front of an Unbound, uncached: DoT, DoQ, and DoH over HTTP/2 and HTTP/3 by code that was not written here.
type CoreDNS struct {
	tb                       testing.TB
	TLS, QUIC, HTTPS, HTTPS3 netip.AddrPort // HTTPS is HTTP/2 alone, HTTPS3 HTTP/3 alone
	path, config             string
	process                  *Process
}

// CoreDNSLimits are those of its DoQ server; zero fields leave CoreDNS's own.
type CoreDNSLimits struct {
	Streams int           // at a time on one connection
	Idle    time.Duration // connections are closed after
}

// NewCoreDNS starts the program at path with the given certificate; it forwards to upstream over plain UDP.
func NewCoreDNS(tb testing.TB, path string, certificate Certificate, upstream netip.AddrPort) *CoreDNS {
	tb.Helper()
	return NewCoreDNSWith(tb, path, certificate, upstream, CoreDNSLimits{})
}

// NewCoreDNSWith is NewCoreDNS with limits.
func NewCoreDNSWith(tb testing.TB, path string, certificate Certificate, upstream netip.AddrPort, limits CoreDNSLimits) *CoreDNS {
	tb.Helper()
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("no CoreDNS: %v; build it with make peers", err)
	}
	c := &CoreDNS{tb: tb, path: path, TLS: FreeAddr(tb), QUIC: FreeAddr(tb), HTTPS: FreeAddr(tb), HTTPS3: FreeAddr(tb)}
	var b strings.Builder
	for _, server := range []struct {
		scheme string
		addr   netip.AddrPort
	}{{"tls", c.TLS}, {"quic", c.QUIC}, {"https", c.HTTPS}, {"https3", c.HTTPS3}} {
		fmt.Fprintf(&b, "%s://.:%d {\n\tbind %s\n\ttls %s %s\n\tforward . %s\n",
			server.scheme, server.addr.Port(), Loopback, certificate.ChainFile, certificate.KeyFile, upstream)
		if server.scheme == "quic" && limits.Streams > 0 {
			fmt.Fprintf(&b, "\tquic {\n\t\tmax_streams %d\n\t}\n", limits.Streams)
		}
		if server.scheme == "quic" && limits.Idle > 0 {
			fmt.Fprintf(&b, "\ttimeouts {\n\t\tidle %v\n\t}\n", limits.Idle)
		}
		b.WriteString("}\n")
	}
	c.config = filepath.Join(SharedDir(tb), "Corefile")
	if err := os.WriteFile(c.config, []byte(b.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
	c.Start()
	return c
}

// Start starts the program, after Kill on the same ports again, and waits until all its servers listen.
func (c *CoreDNS) Start() {
	c.tb.Helper()
	c.process = startProcess(c.tb, "coredns", exec.Command(c.path, "-conf", c.config))
	Eventually(c.tb, startTimeout, "coredns listens", func() bool {
		if !c.process.Running() {
			c.tb.Fatalf("coredns ended:\n%s", c.process.Log())
		}
		return len(c.process.LogLines("CoreDNS-")) > 0 // after the last server's line
	})
}

// Kill ends the program at once.
func (c *CoreDNS) Kill() {
	c.tb.Helper()
	c.process.Kill()
}
