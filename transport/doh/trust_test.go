package doh

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

func TestTrust(t *testing.T) {
	lanetest.CheckTrust(t, lanetest.Driver{Scheme: transport.HTTPS, Protocol: "h2", Run: Run, Serve: func(t *testing.T, cfg *tls.Config) netip.AddrPort {
		return serve(t, "127.0.0.1:0", cfg, nil, honest).addr
	}})
}

func TestTrustHTTP3(t *testing.T) {
	lanetest.CheckTrust(t, lanetest.Driver{
		Scheme: transport.HTTPS, Protocol: "h3", QUIC: true, Run: Run,
		Serve: func(t *testing.T, cfg *tls.Config) netip.AddrPort {
			s := new(server3)
			s.serve3(t, anyPort(t), cfg, honest)
			return s.path.LocalAddr().(*net.UDPAddr).AddrPort()
		},
		Edit: func(e *transport.Endpoint) { e.HTTP3 = transport.HTTP3Only },
	})
}
