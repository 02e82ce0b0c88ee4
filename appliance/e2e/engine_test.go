package e2e

import (
	"fmt"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// engines are the two ways of talking to the kernel; what clients see must be the same over both.
var engines = []string{"uring", "mmsg"}

func forEachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}

// An upstreamKind is one of the five transports, and which peer serves it.
type upstreamKind struct {
	name   string
	config func(p peers) rig.Upstream
	kill   func(p peers) // ends that peer at once
	start  func(p peers) // and brings it back
}

var upstreamKinds = []upstreamKind{
	{
		"udp", func(p peers) rig.Upstream { return plain("udp", p) },
		func(p peers) { p.unbound.Kill() }, func(p peers) { p.unbound.Start() },
	},
	{
		"tcp", func(p peers) rig.Upstream { return plain("tcp", p) },
		func(p peers) { p.unbound.Kill() }, func(p peers) { p.unbound.Start() },
	},
	{
		"tls", func(p peers) rig.Upstream {
			return rig.Upstream{URL: fmt.Sprintf("tls://%v", p.unbound.TLS), TLSName: rig.ServerName, CAFile: p.authority.CAFile}
		},
		func(p peers) { p.unbound.Kill() }, func(p peers) { p.unbound.Start() },
	},
	{
		"quic", func(p peers) rig.Upstream {
			return rig.Upstream{URL: fmt.Sprintf("quic://%v", p.dnsproxy.QUIC), TLSName: rig.ServerName, CAFile: p.authority.CAFile}
		},
		func(p peers) { p.dnsproxy.Kill() }, func(p peers) { p.dnsproxy.Start() },
	},
	{
		"https", func(p peers) rig.Upstream {
			return rig.Upstream{
				URL:     fmt.Sprintf("https://%v%s", p.unbound.HTTPS, rig.HTTPSPath),
				TLSName: rig.ServerName, CAFile: p.authority.CAFile,
			}
		},
		func(p peers) { p.unbound.Kill() }, func(p peers) { p.unbound.Start() },
	},
}

func plain(scheme string, p peers) rig.Upstream {
	return rig.Upstream{URL: fmt.Sprintf("%s://%v", scheme, p.unbound.Do53)}
}

func startProxy(t *testing.T, engine string, upstreams ...rig.Upstream) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{Backend: engine, Upstreams: upstreams}, nil)
}
