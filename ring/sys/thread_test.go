package sys

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread of its own that ends with it: policy and affinity must not stay on a thread that others use.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// mappingOf returns the line of numa_maps for the mapping that holds the first byte of b.
// It is that of the calling thread: a mapping without a policy is shown with the thread's, and the main thread may be one that was placed.
func mappingOf(t *testing.T, b []byte) string {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/numa_maps")
	if err != nil {
		t.Fatal(err)
	}
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	found := ""
	for line := range strings.Lines(string(text)) {
		first, _, _ := strings.Cut(line, " ")
		start, err := strconv.ParseUint(first, 16, 64)
		if err != nil {
			t.Fatalf("line of numa_maps %q: %v", line, err)
		}
		if start > at {
			break
		}
		found = strings.TrimSpace(line)
	}
	return found
}

// allowedCPU returns a core on which this process may run.
func allowedCPU(t *testing.T) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	t.Fatal("no CPU")
	return 0
}

// TestMemoryOfAPlacedThread: what Map gives a placed thread is bound to its node and comes from there, although another thread touches it
// first. A machine with one node can show the policy, but has no other node from which the pages could have come.
func TestMemoryOfAPlacedThread(t *testing.T) {
	nodes, err := filepath.Glob("/sys/devices/system/node/node[0-9]*")
	if err != nil || len(nodes) == 0 {
		t.Skipf("a kernel without NUMA: %v", err)
	}
	var placed, plain []byte
	var node int
	onThread(func() {
		if plain, err = Map(2 * hugeBytes); err != nil {
			return
		}
		if err = PinThread(allowedCPU(t)); err != nil {
			return
		}
		if node, err = PlaceThread(); err != nil {
			return
		}
		placed, err = Map(2 * hugeBytes)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer Unmap(placed)
	defer Unmap(plain)
	for _, b := range [][]byte{plain, placed} { // by this thread, which has no policy
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	fields := strings.Fields(mappingOf(t, placed))
	if want := fmt.Sprintf("prefer:%d", node); len(fields) < 2 || fields[1] != want {
		t.Errorf("numa_maps: %q, want policy %s", fields, want)
	}
	pages := 0
	for _, f := range fields {
		if where, n, ok := strings.Cut(f, "="); ok && where[0] == 'N' {
			if where != fmt.Sprintf("N%d", node) {
				t.Errorf("numa_maps: %q, want pages of node %d only", fields, node)
			}
			pages, _ = strconv.Atoi(n)
		}
	}
	if pages == 0 {
		t.Errorf("numa_maps: %q, want pages of node %d", fields, node)
	}
	if fields := strings.Fields(mappingOf(t, plain)); len(fields) < 2 || fields[1] != "default" {
		t.Errorf("memory of a thread that was not placed: %q, want the default policy", fields)
	}
	if len(nodes) == 1 {
		t.Log("one node only: the policy was checked, that pages come from the right one of several was not")
	}
}
