package worker

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"secure-dns-proxy/transport"
)

// preferredPages sums the pages of this process that lie in mappings bound to a NUMA node, by node.
// It is that of the calling thread: a mapping without a policy is shown with the thread's, and the main thread may be one that was placed.
func preferredPages(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/numa_maps")
	if err != nil {
		t.Skipf("a kernel without NUMA: %v", err)
	}
	pages := map[string]int{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "prefer:") {
			continue
		}
		for _, f := range fields[2:] {
			if where, n, ok := strings.Cut(f, "="); ok && where[0] == 'N' {
				count, _ := strconv.Atoi(n)
				pages[fields[1]+" "+where] += count
			}
		}
	}
	return pages
}

// TestPinnedWorkersOwnLocalMemory: buffers, tables and the cache's index of a pinned worker are bound to its node, and their pages come from
// there; a worker that is not pinned binds nothing. With one node only the policy can be shown, which the log of the test says.
func TestPinnedWorkersOwnLocalMemory(t *testing.T) {
	engines(t, func(t *testing.T, backend string) {
		z := newZone(t)
		t.Run("not pinned", func(t *testing.T) {
			serve(t, testConfig(t, backend), testSnapshot(z.endpoint(transport.UDP)))
			if pages := preferredPages(t); len(pages) != 0 {
				t.Errorf("pages bound to nodes: %v, want none", pages)
			}
		})
		t.Run("pinned", func(t *testing.T) {
			cfg := testConfig(t, backend)
			cfg.Workers, cfg.CPUs = 1, []int{0}
			snap := testSnapshot(z.endpoint(transport.UDP))
			snap.CacheBytes = 64 << 20
			serve(t, cfg, snap)
			// The index has 5.6 MB, the buffers at least 2 MB; a mapping with huge pages counts them as pages of 2 MiB or of 4 KiB.
			pages := preferredPages(t)
			if len(pages) != 1 || pages["prefer:0 N0"] == 0 {
				t.Errorf("pages by policy and node: %v, want prefer:0 from N0 only", pages)
			}
			if bytes := pages["prefer:0 N0"] * os.Getpagesize(); bytes < 7_000_000 {
				t.Errorf("%d bytes bound, want at least 7 MB", bytes)
			}
			if !severalNodes() {
				t.Log("one node only: the policy was checked, that pages come from the right one of several was not")
			}
		})
	})
}

// TestSharedCacheIsOnItsNode: what pinned workers share is bound to their node, all of it is provided, and only where there is more than one of them.
func TestSharedCacheIsOnItsNode(t *testing.T) {
	z := newZone(t)
	cfg := testConfig(t, BackendAuto)
	snap := testSnapshot(z.endpoint(transport.UDP))
	snap.CacheBytes, snap.SharedPercent = 128<<20, 75
	cfg.Workers, cfg.CPUs = 1, []int{0}
	if g, _ := serve(t, cfg, snap); len(g.nodes) != 0 || g.Stats().SharedBytes != 0 {
		t.Errorf("one worker shares with %d nodes", len(g.nodes))
	}
	cfg.Workers, cfg.CPUs = 2, []int{0, 0} // of one node, whatever machine this is
	g, _ := serve(t, cfg, snap)
	if len(g.nodes) != 1 || g.nodeOf[0] != g.nodes[0] || g.nodeOf[1] != g.nodes[0] {
		t.Fatalf("two workers of one node have %d", len(g.nodes))
	}
	preferredPages(t) // skips where the kernel knows no nodes
	const shared = 128 << 20 / 100 * 75
	eventually(t, "the shared cache to be provided on one node", func() bool {
		pages := preferredPages(t)
		return len(pages) == 1 && slices.Max(slices.Collect(maps.Values(pages)))*os.Getpagesize() >= shared
	})
}

// TestWorkerProvidesItsCacheAhead: the memory for the first answers is there before the first query.
func TestWorkerProvidesItsCacheAhead(t *testing.T) {
	z := newZone(t)
	cfg := testConfig(t, BackendAuto)
	cfg.Workers = 1
	g, _ := serve(t, cfg, testSnapshot(z.endpoint(transport.UDP)))
	if g.workers[0].memory.Work() {
		t.Error("the first order of the cache had not been carried out when the worker began to serve")
	}
}

// TestGroupProvidesForItsWorkers: what a cache orders while it is in use is carried out without the worker.
func TestGroupProvidesForItsWorkers(t *testing.T) {
	z := newZone(t)
	e := z.endpoint(transport.UDP)
	cfg := testConfig(t, BackendAuto)
	cfg.Workers = 1
	g, _ := serve(t, cfg, testSnapshot(e))
	before := residentBytes(t)
	snap := testSnapshot(e)
	snap.CacheBytes = 1 << 30 // an index of 85 MB, which nothing fills
	if err := g.Reload(snap); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the index of the larger cache provided", func() bool { return residentBytes(t) > before+80_000_000 })
}

// residentBytes is the memory of this process that has pages.
func residentBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestGrowingCacheIsTendedTo: after a reload with a larger cache the worker goes on without sleeping until its entries have moved, a few each
// turn, and answers meanwhile.
func TestGrowingCacheIsTendedTo(t *testing.T) {
	b, f := newFeed(t, 2000)
	b.w.eng = b.eng
	b.w.setCache(128 << 20)
	turns := 0
	for {
		b.turn(from(1, f.queries[turns%len(f.queries)]))
		if turns++; !b.w.tending {
			break
		}
		b.w.busy = false
		if wait := b.w.armedWait(); wait != 0 {
			t.Fatalf("turn %d: the worker would sleep for %v", turns, wait)
		}
	}
	if turns < 100 { // 64 MiB have 80,000 buckets
		t.Errorf("all was moved in %d turns", turns)
	}
	b.w.busy = false
	if wait := b.w.armedWait(); wait == 0 {
		t.Error("the worker does not sleep any more")
	}
	if got, want := b.w.stats.Hits, uint64(turns); got != want {
		t.Errorf("%d hits in %d turns", got, want)
	}
}
