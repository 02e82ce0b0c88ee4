package slots

import "testing"

func TestHandlesGoStale(t *testing.T) {
	table := New[int](2)
	a, v, ok := table.Open()
	if !ok || a == 0 {
		t.Fatalf("Open() = %#x, %v", a, ok)
	}
	*v = 7
	b, _, _ := table.Open()
	if _, _, ok := table.Open(); ok {
		t.Fatal("Open() on a full table succeeded")
	}
	table.Release(a)
	table.Release(a) // stale: must not free twice
	if got := table.Get(a); got != nil {
		t.Errorf("Get(released) = %v, want nil", *got)
	}
	c, v, ok := table.Open()
	if !ok || c == a || c&indexMask != a&indexMask {
		t.Errorf("Open() after release = %#x, want the index of %#x with another generation", c, a)
	}
	if *v != 0 {
		t.Errorf("reopened value = %d, want 0", *v)
	}
	if table.Get(b) == nil || table.Get(0) != nil || table.Get(0xffffffff) != nil {
		t.Error("Get: live handle lost, or a handle never given out was found")
	}
	if got := table.Len(); got != 2 {
		t.Errorf("Len() = %d, want 2", got)
	}
}

func TestReleasedEntriesWaitTheirTurn(t *testing.T) {
	table := New[struct{}](4)
	var first []uint32
	for range 4 {
		h, _, _ := table.Open()
		first = append(first, h)
	}
	for _, i := range []int{2, 0, 3} {
		table.Release(first[i])
	}
	for _, want := range []uint32{2, 0, 3} {
		h, _, ok := table.Open()
		if got := h & indexMask; !ok || got != want {
			t.Errorf("Open() gave index %d, want %d: oldest release first", got, want)
		}
	}
}

func TestGenerationsSkipZero(t *testing.T) {
	table := New[struct{}](1)
	seen := map[uint32]bool{}
	for i := range generationsMax + 2 {
		h, _, _ := table.Open()
		if h>>IndexBits == 0 {
			t.Fatalf("round %d: generation 0", i)
		}
		if seen[h] != (i >= generationsMax) {
			t.Fatalf("round %d: handle %#x seen before: %v", i, h, seen[h])
		}
		seen[h] = true
		table.Release(h)
	}
}

func TestNextWalksLiveEntries(t *testing.T) {
	table := New[int](5)
	var all []uint32
	for range 3 {
		h, _, _ := table.Open()
		all = append(all, h)
	}
	table.Release(all[1])
	var got []uint32
	for h, i := table.Next(0); h != 0; h, i = table.Next(i) {
		got = append(got, h)
	}
	if len(got) != 2 || got[0] != all[0] || got[1] != all[2] {
		t.Errorf("walk = %#x, want %#x and %#x", got, all[0], all[2])
	}
}
