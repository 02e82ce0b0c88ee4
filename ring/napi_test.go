package ring

import (
	"runtime"
	"testing"
	"time"
)

// TestBusyPollIsSet asks the kernel what it has noted. Loopback has no receive queue to poll, so more than that cannot be shown here.
func TestBusyPollIsSet(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, want := range []time.Duration{0, 50 * time.Microsecond} {
		r, err := Open(Config{CPU: -1, BusyPoll: want})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.u.BusyPoll(0); err != nil || got != want {
			t.Errorf("the ring polls for %v, want %v (%v)", got, want, err)
		}
		if err := r.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}
