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

// NSD is a real NSD that serves zones from files, and lets who has its key transfer them, by AXFR and IXFR.
type NSD struct {
	Addr    netip.AddrPort // UDP and TCP
	tb      testing.TB
	dir     string
	notify  netip.AddrPort
	key     TSIG
	zones   []string
	cookies string // lines of the configuration
	process *Process
}

// TSIG is a key; without a name there is none.
type TSIG struct{ Name, Secret string } // hmac-sha256; base64

// NewNSD starts an NSD with zones, by name without a final dot, in presentation format. It tells notify when one
// whose name begins with rpz. changes; invalid: nobody.
func NewNSD(tb testing.TB, zones map[string]string, key TSIG, notify netip.AddrPort) *NSD {
	tb.Helper()
	n := &NSD{Addr: FreeAddr(tb), tb: tb, dir: SharedDir(tb), notify: notify, key: key}
	for name, text := range zones {
		n.zones = append(n.zones, name)
		n.write(name, text)
	}
	n.configure()
	n.Start()
	return n
}

func (n *NSD) configure() {
	if err := os.WriteFile(filepath.Join(n.dir, "nsd.conf"), []byte(n.config()), 0o644); err != nil {
		n.tb.Fatal(err)
	}
}

// AnswerCookies starts NSD again, to answer cookies of clients (RFC 9018) with a secret of 32 hexadecimal digits.
func (n *NSD) AnswerCookies(secret string) {
	n.tb.Helper()
	n.Kill()
	n.cookies = fmt.Sprintf("  answer-cookie: yes\n  cookie-secret: %q\n", secret)
	n.configure()
	n.Start()
}

func (n *NSD) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  ip-address: %s@%d
  username: ""
  chroot: ""
  zonesdir: %q
  xfrdir: %q
  xfrdfile: "xfrd.state"
  zonelistfile: "zone.list"
  database: ""
  pidfile: ""
  logfile: ""
  verbosity: 2
  server-count: 1
  zonefiles-write: 0
  rrl-ratelimit: 0
%sremote-control:
  control-enable: yes
  control-interface: %q
`, n.Addr.Addr(), n.Addr.Port(), n.dir, n.dir, n.cookies, filepath.Join(n.dir, "control"))
	key := "NOKEY"
	if n.key.Name != "" {
		key = n.key.Name
		fmt.Fprintf(&b, "key:\n  name: %q\n  algorithm: hmac-sha256\n  secret: %q\n", key, n.key.Secret)
	}
	for _, name := range n.zones {
		fmt.Fprintf(&b, "zone:\n  name: %q\n  zonefile: %q\n  store-ixfr: yes\n  create-ixfr: yes\n  provide-xfr: 127.0.0.0/8 %s\n", name, name, key)
		if n.notify.IsValid() && strings.HasPrefix(name, "rpz.") {
			fmt.Fprintf(&b, "  notify: %s@%d %s\n  notify-retry: 3\n", n.notify.Addr(), n.notify.Port(), key)
		}
	}
	return b.String()
}

func (n *NSD) write(name, text string) {
	n.tb.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		n.tb.Fatal(err)
	}
}

// Change puts another text of a zone, with a higher serial, in place of the one that there is.
func (n *NSD) Change(name, text string) {
	n.tb.Helper()
	n.write(name, text)
	run(n.tb, program(n.tb, "nsd-control"), "-c", filepath.Join(n.dir, "nsd.conf"), "reload", name)
}

// Start starts NSD, after Kill at the same address again, and waits until it answers.
func (n *NSD) Start() {
	n.tb.Helper()
	n.process = startProcess(n.tb, "nsd", exec.Command(program(n.tb, "nsd"), "-d", "-c", filepath.Join(n.dir, "nsd.conf")))
	Eventually(n.tb, startTimeout, "nsd answers", func() bool {
		if !n.process.Running() {
			n.tb.Fatalf("nsd ended:\n%s", n.process.Log())
		}
		return answers(n.Addr)
	})
}

// Kill ends NSD at once.
func (n *NSD) Kill() {
	n.tb.Helper()
	n.process.Kill()
}

// PolicyUnbound is a real unbound that resolves from one authoritative server under a response policy zone.
type PolicyUnbound struct {
	Addr netip.AddrPort
}

// NewPolicyUnbound starts one. roots are the names, without a final dot, that authority has zones of.
func NewPolicyUnbound(tb testing.TB, authority netip.AddrPort, roots []string, zone, zoneFile string) *PolicyUnbound {
	tb.Helper()
	u := &PolicyUnbound{Addr: FreeAddr(tb)}
	dir := SharedDir(tb)
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  directory: %q
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  module-config: "respip validator iterator"
  do-not-query-localhost: no
  qname-minimisation: no
  rrset-roundrobin: no
  interface: %s@%d
  access-control: 127.0.0.0/8 allow
  local-zone: "." transparent
%s`, dir, u.Addr.Addr(), u.Addr.Port(), loopbackOnly())
	for _, root := range roots {
		fmt.Fprintf(&b, "  local-zone: %q nodefault\n  domain-insecure: %q\n", root, root)
	}
	for _, root := range roots {
		fmt.Fprintf(&b, "stub-zone:\n  name: %q\n  stub-addr: %s@%d\n", root, authority.Addr(), authority.Port())
	}
	fmt.Fprintf(&b, "rpz:\n  name: %q\n  zonefile: %q\n", zone, zoneFile)
	config := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(config, []byte(b.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
	process := startProcess(tb, "unbound-rpz", exec.Command(program(tb, "unbound"), "-d", "-c", config))
	Eventually(tb, startTimeout, "unbound answers", func() bool {
		if !process.Running() {
			tb.Fatalf("unbound ended:\n%s", process.Log())
		}
		return answers(u.Addr)
	})
	return u
}
