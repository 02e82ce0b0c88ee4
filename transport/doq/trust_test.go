package doq

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

func TestTrust(t *testing.T) {
	lanetest.CheckTrust(t, lanetest.Driver{Scheme: transport.QUIC, Protocol: "doq", QUIC: true, Run: Run, Serve: func(t *testing.T, cfg *tls.Config) netip.AddrPort {
		return serve(t, "127.0.0.1:0", cfg, nil, honest).addr
	}})
}
