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

// Tailored is a real unbound that tells authoritative servers the networks of clients (RFC 7871), before a real knotd with one answer for each network:
//
//	N.cdn.example A, TTL 600     for 127.0.0.0/24  198.51.100.10, for N from 0 to 9
//	                             for 127.1.1.0/24  198.51.100.1
//	                             for 127.2.0.0/16  198.51.100.2
//	                             for 127.3.0.0/16  198.51.100.3
//	all.cdn.example A, TTL 600   for everybody     198.51.100.9
type Tailored struct {
	tb        testing.TB
	Do53, TLS netip.AddrPort // of unbound
	config    string
}

// NewTailored starts both on free ports.
func NewTailored(tb testing.TB, certificate Certificate) *Tailored {
	tb.Helper()
	t := &Tailored{tb: tb, Do53: FreeAddr(tb), TLS: FreeAddr(tb)}
	dir, authority := SharedDir(tb), FreeAddr(tb)
	t.config = filepath.Join(dir, "unbound.conf")
	t.write("knot.conf", fmt.Sprintf(`server:
  rundir: %[1]q
  listen: "%[2]s@%[3]d"
  edns-client-subnet: on
log:
  - target: stdout
    any: info
database:
  storage: %[1]q
mod-geoip:
  - id: networks
    config-file: %[4]q
    ttl: 600
    mode: subnet
zone:
  - domain: cdn.example
    storage: %[1]q
    file: cdn.zone
    zonefile-sync: -1
    journal-content: none
    module: mod-geoip/networks
`, dir, authority.Addr(), authority.Port(), filepath.Join(dir, "networks.yaml")))
	var networks strings.Builder
	for n := range 10 {
		fmt.Fprintf(&networks, "%d.cdn.example:\n", n)
		for network, address := range map[string]int{"127.0.0.0/24": 10, "127.1.1.0/24": 1, "127.2.0.0/16": 2, "127.3.0.0/16": 3} {
			fmt.Fprintf(&networks, "  - net: %s\n    A: 198.51.100.%d\n", network, address)
		}
	}
	t.write("networks.yaml", networks.String())
	t.write("cdn.zone", `$ORIGIN cdn.example.
@ 3600 SOA ns admin 1 3600 600 86400 60
@ 3600 NS ns
ns 3600 A 127.0.0.1
all 600 A 198.51.100.9
`)
	t.write("unbound.conf", fmt.Sprintf(`server:
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  directory: %[1]q
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "subnetcache iterator"
  send-client-subnet: %[2]s
  client-subnet-always-forward: yes
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  interface: 127.0.0.1@%[4]d
  interface: 127.0.0.1@%[5]d
  tls-port: %[5]d
  tls-service-pem: %[6]q
  tls-service-key: %[7]q
stub-zone:
  name: cdn.example
  stub-addr: %[2]s@%[3]d
remote-control:
  control-enable: yes
  control-interface: %[8]q
  control-use-cert: no
`, dir, authority.Addr(), authority.Port(), t.Do53.Port(), t.TLS.Port(), certificate.ChainFile, certificate.KeyFile, filepath.Join(dir, "control")))
	t.start("knotd", authority, "-c", filepath.Join(dir, "knot.conf"))
	t.start("unbound", t.Do53, "-d", "-c", t.config)
	return t
}

func (t *Tailored) write(name, text string) {
	t.tb.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(t.config), name), []byte(text), 0o644); err != nil {
		t.tb.Fatal(err)
	}
}

// start starts a program and waits until it answers at addr.
func (t *Tailored) start(name string, addr netip.AddrPort, arguments ...string) {
	t.tb.Helper()
	process := startProcess(t.tb, name, exec.Command(program(t.tb, name), arguments...))
	Eventually(t.tb, startTimeout, name+" answers", func() bool {
		if !process.Running() {
			t.tb.Fatalf("%s ended:\n%s", name, process.Log())
		}
		reply, err := Ask(addr, "udp", "all.cdn.example", 200*time.Millisecond)
		return err == nil && len(reply.Answer) == 1
	})
}

// Queries returns how many queries unbound has received.
func (t *Tailored) Queries() int {
	t.tb.Helper()
	for line := range strings.Lines(run(t.tb, program(t.tb, "unbound-control"), "-c", t.config, "stats_noreset")) {
		var n int
		if _, err := fmt.Sscanf(line, "total.num.queries=%d", &n); err == nil {
			return n
		}
	}
	t.tb.Fatal("unbound counts no queries")
	return 0
}
