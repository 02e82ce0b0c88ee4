package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Forwarder is a real unbound that forwards what it is asked to another server, over UDP.
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

// Forward makes it forward to server from now on, with an empty cache.
func (f *Forwarder) Forward(server netip.AddrPort) {
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
forward-zone:
  name: "."
  forward-addr: %s@%d
remote-control:
  control-enable: no
`, f.Addr.Port(), server.Addr(), server.Port())
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
