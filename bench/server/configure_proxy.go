package server

import (
	"fmt"
	"path/filepath"
	"strings"
)

// proxy is this project's own program. Everything that is not named here stays at its default.
func proxy(engine string) func(Setup) (Launch, error) {
	return func(s Setup) (Launch, error) {
		var b strings.Builder
		fmt.Fprintf(&b, "listen = [%q]\nbackend = %q\n\n", s.Listen, engine)
		fmt.Fprintf(&b, "[workers]\ncount = %d\ncpus = [%s]\n\n", s.Workers, join(s.CPUs[:s.Workers], ", "))
		fmt.Fprintf(&b, "[cache]\nbytes = %d\n\n", s.Cache.bytes(proxyEntryBytes))
		fmt.Fprintf(&b, "[metrics]\nlisten = %q\n\n", s.Control)
		fmt.Fprintf(&b, "[control]\nsocket = %q\n\n", ControlSocket(s))
		fmt.Fprintf(&b, "[[upstream]]\nurl = %q\n", url(s.Upstream))
		switch s.Upstream.Scheme {
		case TLS, QUIC, HTTPS:
			fmt.Fprintf(&b, "tls_name = %q\nca_file = %q\n", s.Upstream.Name, s.Upstream.CAFile)
		}
		return Launch{
			Arguments: []string{"--config", filepath.Join(s.Dir, proxyFile)},
			Files:     map[string]string{proxyFile: b.String()},
		}, nil
	}
}

// proxyFile is its configuration, in Setup.Dir.
const proxyFile = "proxy.toml"

// ControlSocket is where this project's own program takes commands.
func ControlSocket(s Setup) string { return filepath.Join(s.Dir, "control.sock") }

// url of the backend by address, as this proxy and dnsproxy read it.
func url(u Upstream) string {
	url := fmt.Sprintf("%s://%s", u.Scheme, u.Addr)
	if u.Scheme == HTTPS {
		url += "/dns-query"
	}
	return url
}

func join(numbers []int, separator string) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, separator)
}
