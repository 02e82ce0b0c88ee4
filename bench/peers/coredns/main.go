// Command coredns is CoreDNS with the plugins that a caching forwarder needs, also one for clients over TLS, QUIC and HTTPS,
// built the way its own documentation describes for programs that choose their plugins
// (coredns.io/2017/07/25/compile-time-enabling-or-disabling-plugins). The full program differs by plugins that such a
// configuration does not load, and by some hundred modules of cloud providers.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/quic"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/timeouts"
	_ "github.com/coredns/coredns/plugin/tls"
)

func main() {
	// The order in which plugins see a query, as in CoreDNS's own plugin.cfg.
	dnsserver.Directives = []string{"tls", "quic", "timeouts", "reload", "bufsize", "bind", "cache", "forward"}
	coremain.Run()
}
