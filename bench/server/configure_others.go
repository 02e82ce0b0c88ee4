package server

import (
	"fmt"
	"path/filepath"
	"strings"

	"secure-dns-proxy/bench/proc"
)

func coreDNS(s Setup) (Launch, error) {
	to, tls := s.Upstream.Addr.String(), ""
	options := ""
	switch s.Upstream.Scheme {
	case UDP:
	case TCP:
		options = "        force_tcp\n"
	case TLS:
		to = "tls://" + to
		tls = fmt.Sprintf("        tls %s\n        tls_servername %s\n", s.Upstream.CAFile, s.Upstream.Name)
	default:
		return Launch{}, fmt.Errorf("CoreDNS: %w: version 1.15.0 forwards over UDP, TCP and TLS only", ErrCannot)
	}
	var b strings.Builder
	fmt.Fprintf(&b, ".:%d {\n    bind %s\n", s.Listen.Port(), s.Listen.Addr())
	fmt.Fprintf(&b, "    cache {\n        success %d 3600\n        denial %d 3600\n    }\n", s.Cache.Entries, s.Cache.Entries)
	fmt.Fprintf(&b, "    forward . %s {\n%s%s    }\n}\n", to, options, tls)
	return Launch{
		Arguments: []string{"-conf", filepath.Join(s.Dir, "Corefile")},
		Files:     map[string]string{"Corefile": b.String()},
	}, nil
}

func dnsProxy(s Setup) (Launch, error) {
	return Launch{
		Arguments: []string{
			fmt.Sprintf("--listen=%s", s.Listen.Addr()), fmt.Sprintf("--port=%d", s.Listen.Port()),
			"--upstream=" + url(s.Upstream), "--insecure", "--ratelimit=0", "--udp-buf-size=4194304",
			"--cache", fmt.Sprintf("--cache-size=%d", s.Cache.bytes(dnsProxyEntryBytes)),
		},
	}, nil
}

// echo has a worker per CPU and asks nobody.
func echo(s Setup) (Launch, error) {
	return Launch{Arguments: []string{"-listen", s.Listen.String(), "-cpu", proc.FormatCPUs(s.CPUs[:s.Workers])}}, nil
}
