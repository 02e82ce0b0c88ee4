package dot

import (
	"net/netip"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestAddressOfADeadConnectionIsLeft: a server that takes connections and says nothing is at the back of the order when its connection is
// given up, and the next connection goes to the other address; what answers comes first from then on.
func TestAddressOfADeadConnectionIsLeft(t *testing.T) {
	lanetest.NoLeaks(t)
	mute := serve(t, nil, silent)
	good := serve(t, nil, honest)
	e := good.endpoint(nil, nil)
	e.DeadAfter = 100 * time.Millisecond
	e.Addresses.Store([]netip.AddrPort{mute.addr, good.addr})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	if got := w.Ask("a.example.", lanetest.Patience).Fault; got != transport.FaultClosed {
		t.Errorf("at the silent server: got %v, want closed", got)
	}
	troubles := e.AddressTroubles()
	if order, usable := e.AddressOrder(transport.Now()); order[0] != good.addr || usable != 1 || troubles[mute.addr] == nil {
		t.Errorf("order %v with %d usable, troubles %v", order, usable, troubles)
	}
	lanetest.Eventually(t, "an answer of the other one", func() bool { return w.Ask("b.example.", lanetest.Patience).Fault == transport.FaultNone })
	if _, healthy := e.AddressHealth(); healthy != 1 {
		t.Errorf("%d healthy addresses, want 1", healthy)
	}
}
