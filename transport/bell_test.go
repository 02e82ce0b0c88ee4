package transport

import (
	"encoding/binary"
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rung returns how often the bell's eventfd has been written since the last call: every write adds one.
func rung(t *testing.T, b *bell) uint64 {
	t.Helper()
	var count [8]byte
	_, err := unix.Read(b.fd, count[:])
	if errors.Is(err, syscall.EAGAIN) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint64(count[:])
}

// TestFlushRingsOnlyForASleepingDriver: what a miss costs the worker beyond memory is this one system call, and only if the driver sleeps.
func TestFlushRingsOnlyForASleepingDriver(t *testing.T) {
	query := make([]byte, 60)
	for _, tt := range []struct {
		name  string
		state uint32
		want  uint64
	}{{"awake", awake, 0}, {"asleep", asleep, 1}, {"napping", napping, 0}} {
		l, err := NewLane(testEndpoint(), func() {}, LaneLimits{})
		if err != nil {
			t.Fatal(err)
		}
		l.bell.state.Store(tt.state)
		for i := range uint32(1000) {
			if !l.Submit(i, i, time.Hour, query) {
				t.Fatalf("query %d refused", i)
			}
			if i%2 == 0 { // a turn has one Flush for all its queries
				l.Flush()
			}
		}
		if got := rung(t, l.bell); got != tt.want {
			t.Errorf("%s: 1000 queries in 500 turns rang %d times, want %d", tt.name, got, tt.want)
		}
		closeLane(t, l)
	}
}
