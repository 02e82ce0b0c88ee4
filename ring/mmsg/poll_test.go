package mmsg

import (
	"testing"
	"time"

	"secure-dns-proxy/ring"
)

// TestBusyPollIsSet asks the kernel what it has noted. Loopback has no receive queue to poll, so more than that cannot be shown here.
func TestBusyPollIsSet(t *testing.T) {
	for _, want := range []time.Duration{0, 50 * time.Microsecond} {
		e, err := Open(ring.Config{CPU: -1, BusyPoll: want})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.poll.BusyPolls(); err != nil || got != want {
			t.Errorf("epoll polls for %v, want %v (%v)", got, want, err)
		}
		if err := e.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}
