package rig

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Dnsdist is a real dnsdist with rules in its own language.
type Dnsdist struct {
	*Process
	Addr netip.AddrPort
}

// StartDnsdist starts one on a free port of 127.0.0.1. Its servers, numbered from 0 in the order given, are taken to be up; a server after a "name="
// is in the pool of that name. lua is what follows in its configuration.
func StartDnsdist(tb testing.TB, lua string, servers ...string) *Dnsdist {
	tb.Helper()
	d := &Dnsdist{Addr: FreeAddr(tb)}
	var b strings.Builder
	fmt.Fprintf(&b, "setLocal(%q)\nsetSecurityPollSuffix(\"\")\n", d.Addr)
	for i, server := range servers {
		pool, addr, named := strings.Cut(server, "=")
		if !named {
			pool, addr = "", server
		}
		fmt.Fprintf(&b, "newServer({address=%q, pool=%q, useClientSubnet=false})\ngetServer(%d):setUp()\n", addr, pool, i)
	}
	b.WriteString(lua)
	file := filepath.Join(SharedDir(tb), "dnsdist.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
	d.Process = startProcess(tb, "dnsdist", exec.Command(program(tb, "dnsdist"), "--supervised", "--disable-syslog", "-C", file))
	Eventually(tb, startTimeout, "dnsdist answers", func() bool {
		if !d.Running() {
			tb.Fatalf("dnsdist ended:\n%s", d.Log())
		}
		_, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("started.test.", dns.TypeA), d.Addr.String())
		return err == nil
	})
	return d
}
