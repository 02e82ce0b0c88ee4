package dot

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

func TestTrust(t *testing.T) {
	lanetest.CheckTrust(t, lanetest.Driver{Scheme: transport.TLS, Protocol: "dot", Run: Run, Serve: func(t *testing.T, cfg *tls.Config) netip.AddrPort {
		return serve(t, cfg, honest).addr
	}})
}
