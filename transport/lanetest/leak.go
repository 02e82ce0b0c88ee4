package lanetest

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// NoLeaks fails the test if, once everything registered later with t.Cleanup has run, there are more goroutines or descriptors than
// now. Call it first.
func NoLeaks(t testing.TB) {
	t.Helper()
	// The runtime's poller opens its descriptors at first use.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors(t)
	t.Cleanup(func() {
		var g, d int
		for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if g, d = runtime.NumGoroutine(), countDescriptors(t); g <= goroutines && d <= descriptors {
				return
			}
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("left behind: %d goroutines (were %d), %d descriptors (were %d)\n%s",
			g, goroutines, d, descriptors, stacks[:runtime.Stack(stacks, true)])
	})
}

func countDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
