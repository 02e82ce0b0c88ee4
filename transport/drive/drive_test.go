package drive

import (
	"net/netip"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestStart starts and closes a lane of every scheme that has one.
func TestStart(t *testing.T) {
	lanetest.NoLeaks(t)
	authority := lanetest.NewAuthority(t)
	for scheme := transport.UDP; scheme <= transport.HTTPS; scheme++ {
		e := lanetest.Endpoint(scheme, netip.MustParseAddrPort("127.0.0.1:9"), nil, nil)
		if scheme.Encrypted() {
			e.TLS = authority.Client(lanetest.ServerName)
		}
		lane, err := transport.NewLane(e, func() {}, transport.LaneLimits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := Start(lane); (err == nil) != (scheme != transport.UDP) {
			t.Errorf("start %v: %v", scheme, err)
		}
		if err := lane.Close(t.Context()); err != nil {
			t.Errorf("close %v: %v", scheme, err)
		}
	}
}
