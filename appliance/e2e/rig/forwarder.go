package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Forwarder is a real unbound that asks another server, over UDP, for what it is asked.
type Forwarder struct {
	tb      testing.TB
	Addr    netip.AddrPort
	config  string
	process *Process
}

// NewForwarder starts one in front of server.
func NewForwarder(tb testing.TB, server netip.AddrPort) *Forwarder {
	tb.Helper()
	f := &Forwarder{tb: tb, Addr: FreeAddr(tb), config: filepath.Join(SharedDir(tb), "unbound.conf")}
	f.Forward(server)
	return f
}

// NewResolver starts one that resolves the names below zones, given without a final dot, itself, from the authoritative server of them; it knows no others. It
// validates what anchors, DS records, are for.
func NewResolver(tb testing.TB, server netip.AddrPort, zones []string, anchors ...string) *Forwarder {
	tb.Helper()
	f := &Forwarder{tb: tb, Addr: FreeAddr(tb), config: filepath.Join(SharedDir(tb), "unbound.conf")}
	var b strings.Builder
	b.WriteString("  local-zone: \".\" refuse\n")
	for _, zone := range zones {
		fmt.Fprintf(&b, "  local-zone: %q transparent\n", zone)
	}
	for _, anchor := range anchors {
		fmt.Fprintf(&b, "  trust-anchor: %q\n", strings.Join(strings.Fields(anchor), " "))
	}
	if len(anchors) != 0 {
		b.WriteString("  module-config: \"validator iterator\"\n  ede: yes\n")
	}
	for _, zone := range zones {
		fmt.Fprintf(&b, "stub-zone:\n  name: %q\n  stub-addr: %s@%d\n", zone, server.Addr(), server.Port())
	}
	f.start(b.String())
	return f
}

// Forward makes it forward to server from now on, with an empty cache.
func (f *Forwarder) Forward(server netip.AddrPort) {
	f.tb.Helper()
	f.start(fmt.Sprintf("forward-zone:\n  name: \".\"\n  forward-addr: %s@%d\n", server.Addr(), server.Port()))
}

// start starts unbound with settings that end its configuration.
func (f *Forwarder) start(settings string) {
	f.tb.Helper()
	if f.process != nil {
		f.process.Kill()
	}
	text := fmt.Sprintf(`server:
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  interface: 127.0.0.1@%d
  unblock-lan-zones: yes
  local-zone: "test." nodefault
%s%sremote-control:
  control-enable: no
`, f.Addr.Port(), loopbackOnly(), settings)
	if err := os.WriteFile(f.config, []byte(text), 0o644); err != nil {
		f.tb.Fatal(err)
	}
	f.process = startProcess(f.tb, "unbound", exec.Command(program(f.tb, "unbound"), "-d", "-c", f.config))
	Eventually(f.tb, startTimeout, "the forwarder answers", func() bool {
		if !f.process.Running() {
			f.tb.Fatalf("unbound ended:\n%s", f.process.Log())
		}
		_, err := Ask(f.Addr, "udp", "localhost.", startTimeout) // its own
		return err == nil
	})
}

// loopbackOnly keeps unbound from asking anybody outside of this machine, wherever delegations lead.
func loopbackOnly() string {
	var b strings.Builder
	for _, outside := range []string{
		"0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/4", "112.0.0.0/5", "120.0.0.0/6", "124.0.0.0/7", "126.0.0.0/8", "128.0.0.0/1", "::/0",
	} {
		fmt.Fprintf(&b, "  do-not-query-address: %s\n", outside)
	}
	return b.String()
}
