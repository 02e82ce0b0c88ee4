package rig

import (
	"fmt"
	"net/netip"
	"strings"
)

// Config is what a test sets of a proxy's configuration; Text writes it as TOML.
type Config struct {
	Listen    []netip.AddrPort // none: StartProxy takes 127.0.0.1 and ::1 on one free port
	Metrics   netip.AddrPort   // none: StartProxy takes a free port
	Backend   string           // "uring", "mmsg"; "" for "auto"
	Workers   int              // 0: one, so that one cache answers all and hits can be counted
	Upstreams []Upstream
	Settings  []string // any other line, as `cache.enabled = false`
}

// Upstream is one [[upstream]] table; empty fields are left out.
type Upstream struct {
	URL, TLSName, CAFile string
	Settings             []string // any other line, as `pin_only = true`
}

// Text is the configuration file.
func (c Config) Text() string {
	var b strings.Builder
	var listen []string
	for _, a := range c.Listen {
		listen = append(listen, fmt.Sprintf("%q", a))
	}
	fmt.Fprintf(&b, "listen = [%s]\n", strings.Join(listen, ", "))
	if c.Backend != "" {
		fmt.Fprintf(&b, "backend = %q\n", c.Backend)
	}
	for _, line := range c.Settings {
		fmt.Fprintln(&b, line)
	}
	if !strings.Contains(strings.Join(c.Settings, "\n"), "loop_interval") { // else upstreams are asked for more than clients ask for
		fmt.Fprintln(&b, `requests.loop_interval = "0s"`)
	}
	fmt.Fprintf(&b, "workers.count = %d\n", max(c.Workers, 1))
	fmt.Fprintf(&b, "metrics.listen = %q\n", c.Metrics)
	for _, u := range c.Upstreams {
		fmt.Fprintf(&b, "\n[[upstream]]\nurl = %q\n", u.URL)
		if u.TLSName != "" {
			fmt.Fprintf(&b, "tls_name = %q\n", u.TLSName)
		}
		if u.CAFile != "" {
			fmt.Fprintf(&b, "ca_file = %q\n", u.CAFile)
		}
		for _, line := range u.Settings {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}
