package server

import (
	"fmt"
	"path/filepath"
	"strings"
)

// unbound forwards everything, and validates nothing, as nobody else here does. Its manual's advice on performance is
// followed: SO_REUSEPORT, twice as much cache for RRsets as for messages, room for queries in flight.
func unbound(s Setup) (Launch, error) {
	forward := fmt.Sprintf("forward-addr: %s@%d", s.Upstream.Addr.Addr(), s.Upstream.Addr.Port())
	server := ""
	switch s.Upstream.Scheme {
	case UDP:
	case TCP:
		forward += "\n    forward-tcp-upstream: yes"
	case TLS:
		forward += "#" + s.Upstream.Name + "\n    forward-tls-upstream: yes"
		server = fmt.Sprintf("    tls-cert-bundle: %q\n", s.Upstream.CAFile)
	default:
		return Launch{}, fmt.Errorf("unbound: %w: it forwards over UDP, TCP and TLS only", ErrCannot)
	}
	var b strings.Builder
	b.WriteString("server:\n")
	for _, line := range []string{
		fmt.Sprintf("interface: %s@%d", s.Listen.Addr(), s.Listen.Port()),
		fmt.Sprintf("port: %d", s.Listen.Port()),
		fmt.Sprintf("num-threads: %d", s.Workers),
		fmt.Sprintf("directory: %q", s.Dir),
		fmt.Sprintf("msg-cache-size: %d", s.Cache.bytes(unboundEntryBytes)/3),
		fmt.Sprintf("rrset-cache-size: %d", s.Cache.bytes(unboundEntryBytes)/3*2),
		"username: \"\"", "chroot: \"\"", "pidfile: \"\"", "use-syslog: no", "logfile: \"\"", "verbosity: 0", "do-daemonize: no",
		"access-control: 127.0.0.0/8 allow", "do-not-query-localhost: no", "do-ip6: no", "module-config: \"iterator\"",
		"so-reuseport: yes", "so-rcvbuf: 4m", "so-sndbuf: 4m", "outgoing-range: 8192", "num-queries-per-thread: 4096",
		"incoming-num-tcp: 1000", "outgoing-num-tcp: 100", "max-reuse-tcp-queries: 65000",
	} {
		b.WriteString("    " + line + "\n")
	}
	b.WriteString(server)
	b.WriteString("remote-control:\n    control-enable: no\n")
	fmt.Fprintf(&b, "forward-zone:\n    name: \".\"\n    %s\n", forward)
	return Launch{
		Arguments: []string{"-d", "-c", filepath.Join(s.Dir, "unbound.conf")},
		Files:     map[string]string{"unbound.conf": b.String()},
	}, nil
}
