package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Unbound is a real unbound that serves local data, and nothing else, over every transport that it has.
//
//	name                        data
//	www.zone.example            A, AAAA, TTL 3600
//	short.zone.example          A, TTL 60
//	alias.zone.example          CNAME www.zone.example (unbound does not follow it in local data)
//	zone.example                SOA, NS, MX; anything else below it is NXDOMAIN or NODATA with that SOA
//	big.zone.example            12 TXT, about 3.2 KB
//	huge.zone.example           60 TXT, about 16 KB: over TCP only
//	anything.bulk.example       A 192.0.2.1, TTL 3600: names for a load
//	dns.test.example            A 127.0.0.1, TTL 3600: ServerName, for a bootstrap
//	any other name              REFUSED
type Unbound struct {
	tb               testing.TB
	Do53, TLS, HTTPS netip.AddrPort // Do53 is UDP and TCP
	dir, config      string
	announced        time.Duration // idle timeout told to clients over TCP and TLS that ask for it; 0: none
	process          *Process
}

// NewUnbound starts an unbound on free ports with the given certificate for DoT and DoH.
func NewUnbound(tb testing.TB, certificate Certificate) *Unbound {
	tb.Helper()
	u := &Unbound{tb: tb, Do53: FreeAddr(tb), TLS: FreeAddr(tb), HTTPS: FreeAddr(tb)}
	u.dir = SharedDir(tb)
	u.config = filepath.Join(u.dir, "unbound.conf")
	u.UseCertificate(certificate)
	u.Start()
	return u
}

// UseCertificate makes the next Start serve another certificate.
func (u *Unbound) UseCertificate(certificate Certificate) {
	u.tb.Helper()
	if err := os.WriteFile(u.config, []byte(u.configText(u.dir, certificate)), 0o644); err != nil {
		u.tb.Fatal(err)
	}
}

// AnnounceIdle makes the next Start tell clients over TCP and TLS that ask how long they may idle (RFC 7828), and close them then.
func (u *Unbound) AnnounceIdle(timeout time.Duration, certificate Certificate) {
	u.tb.Helper()
	u.announced = timeout
	u.UseCertificate(certificate)
}

// HTTPSPath is where Unbound serves DoH.
const HTTPSPath = "/dns-query"

func (u *Unbound) configText(dir string, certificate Certificate) string {
	var b strings.Builder
	// Local data alone: the iterator never runs, so nothing leaves the machine. One thread is enough beside the proxy.
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
  module-config: "iterator"
  rrset-roundrobin: no
  extended-statistics: yes
  incoming-num-tcp: 1000
  so-rcvbuf: 4m
  access-control: 127.0.0.0/8 allow
  interface: 127.0.0.1@%d
  interface: 127.0.0.1@%d
  interface: 127.0.0.1@%d
  tls-port: %d
  https-port: %d
  http-endpoint: %q
  tls-service-pem: %q
  tls-service-key: %q
  local-zone: "." refuse
  local-zone: "bulk.example." redirect
  local-data: "bulk.example. 3600 IN A 192.0.2.1"
  local-zone: "test.example." static
  local-data: "dns.test.example. 3600 IN A 127.0.0.1"
  local-zone: "zone.example." static
`, dir, u.Do53.Port(), u.TLS.Port(), u.HTTPS.Port(), u.TLS.Port(), u.HTTPS.Port(), HTTPSPath,
		certificate.ChainFile, certificate.KeyFile)
	if u.announced != 0 {
		fmt.Fprintf(&b, "  edns-tcp-keepalive: yes\n  edns-tcp-keepalive-timeout: %d\n", u.announced.Milliseconds())
	}
	for _, record := range zoneRecords() {
		fmt.Fprintf(&b, "  local-data: '%s'\n", record)
	}
	fmt.Fprintf(&b, "remote-control:\n  control-enable: yes\n  control-interface: %q\n  control-use-cert: no\n", filepath.Join(dir, "control"))
	return b.String()
}

func zoneRecords() []string {
	records := []string{
		"zone.example. 3600 IN SOA ns.zone.example. admin.zone.example. 1 3600 600 86400 900",
		"zone.example. 3600 IN NS ns.zone.example.",
		"zone.example. 3600 IN MX 10 mail.zone.example.",
		"www.zone.example. 3600 IN A 192.0.2.80",
		"www.zone.example. 3600 IN AAAA 2001:db8::80",
		"short.zone.example. 60 IN A 192.0.2.60",
		"alias.zone.example. 3600 IN CNAME www.zone.example.",
	}
	for i := range 60 {
		text := fmt.Sprintf("%03d", i) + strings.Repeat("x", 247)
		if i < 12 {
			records = append(records, fmt.Sprintf(`big.zone.example. 3600 IN TXT "%s"`, text))
		}
		records = append(records, fmt.Sprintf(`huge.zone.example. 3600 IN TXT "%s"`, text))
	}
	return records
}

// Start starts unbound, after Kill on the same ports again, and waits until it answers.
func (u *Unbound) Start() {
	u.tb.Helper()
	u.process = startProcess(u.tb, "unbound", exec.Command(program(u.tb, "unbound"), "-d", "-c", u.config))
	Eventually(u.tb, startTimeout, "unbound answers", func() bool {
		if !u.process.Running() {
			u.tb.Fatalf("unbound ended:\n%s", u.process.Log())
		}
		return answers(u.Do53)
	})
}

// Kill ends unbound at once, in the middle of whatever it does.
func (u *Unbound) Kill() {
	u.tb.Helper()
	u.process.Kill()
}

// Tell adds a record, in presentation format, to the local data while unbound runs.
func (u *Unbound) Tell(record string) {
	u.tb.Helper()
	u.control(append([]string{"local_data"}, strings.Fields(record)...)...)
}

// Forget removes all records of a name from the local data.
func (u *Unbound) Forget(name string) {
	u.tb.Helper()
	u.control("local_data_remove", name)
}

func (u *Unbound) control(arguments ...string) string {
	u.tb.Helper()
	return run(u.tb, program(u.tb, "unbound-control"), append([]string{"-c", u.config}, arguments...)...)
}

// Queries returns how many queries this run of unbound has received, in all and by transport.
func (u *Unbound) Queries() (all, tls, https int) {
	u.tb.Helper()
	figures := u.figures()
	return figures["total.num.queries"], figures["num.query.tls"], figures["num.query.https"]
}

// Resumed returns how many queries came over TLS sessions that were resumed.
func (u *Unbound) Resumed() int {
	u.tb.Helper()
	return u.figures()["num.query.tls.resume"]
}

// figures are the whole-numbered ones that unbound counts.
func (u *Unbound) figures() map[string]int {
	u.tb.Helper()
	figures := map[string]int{}
	for line := range strings.Lines(u.control("stats_noreset")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if n, err := strconv.Atoi(value); err == nil {
			figures[name] = n
		}
	}
	return figures
}

// Freeze stops unbound from running, connections left open, until Thaw.
func (u *Unbound) Freeze() {
	u.tb.Helper()
	u.process.Signal(syscall.SIGSTOP)
}

// Thaw lets it run again.
func (u *Unbound) Thaw() {
	u.tb.Helper()
	u.process.Signal(syscall.SIGCONT)
}
