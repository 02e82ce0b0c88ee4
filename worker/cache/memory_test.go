package cache

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMemoryStaysWithinItsLimit: with a million entries, and after the same again, what the process has in memory (VmRSS) has grown by no more
// than the configured bytes, as far as the shard goes: every page that the kernel has given it is counted.
func TestMemoryStaysWithinItsLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 180 MiB")
	}
	const limit, entries, goHeap = 180 << 20, 1_000_000, 16 << 20 // what the test itself may take
	runtime.GC()
	debug.FreeOSMemory()
	before := rss(t)
	s := newShard(t, limit)
	a := testAnswer(1, 60)
	a.TTLs = a.TTLs[:2]
	for round := range 3 {
		for i := range entries {
			key := testKey(round*entries + i)
			s.Put(testHash(key), key, a, forever, 0)
		}
		pages := resident(t, s.index.mem)
		for i := range s.chunks {
			pages += resident(t, s.chunks[i].mem)
		}
		st, grown := s.Stats(), rss(t)-before
		t.Logf("%d entries, limit %.1f MiB: %.1f MiB in use, %.1f MiB resident, VmRSS has grown by %.1f MiB", st.Entries, float64(limit)/(1<<20),
			float64(st.Bytes)/(1<<20), float64(pages*syscall.Getpagesize())/(1<<20), float64(grown)/(1<<20))
		if round == 0 && st.Entries < entries*99/100 {
			t.Errorf("%d entries: this tests too little", st.Entries)
		}
		if got := int64(pages * syscall.Getpagesize()); got > limit || st.Bytes > limit {
			t.Errorf("%d bytes resident, %d in use, limit %d", got, st.Bytes, limit)
		}
		if grown > limit+goHeap {
			t.Errorf("VmRSS has grown by %d bytes, limit %d", grown, limit)
		}
	}
}

// rss is the resident memory of this process, bytes.
func rss(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(syscall.Getpagesize())
}
