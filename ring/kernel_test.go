package ring

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// TestMain lets the engine's tests run wherever it is meant to work. A refusal on a newer kernel is a failure, not a reason to skip.
func TestMain(m *testing.M) {
	var u syscall.Utsname
	var release [len(u.Release)]byte
	if err := syscall.Uname(&u); err != nil {
		panic(err)
	}
	for i, c := range u.Release {
		release[i] = byte(c)
	}
	var major, minor int
	if n, _ := fmt.Sscanf(string(release[:]), "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 1) {
		fmt.Printf("skipped: kernel %d.%d is older than 6.1\n", major, minor)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
