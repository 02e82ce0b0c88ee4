package cache

import "testing"

func TestGrowKeepsEverything(t *testing.T) {
	s := newShard(t, BytesMin)
	for i := range 5000 {
		put(s, i, 100, forever, 0)
	}
	before := s.Stats()
	if before.Evictions != 0 {
		t.Fatal("the test wants all of them to fit")
	}
	if err := s.SetLimit(4 * BytesMin); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
	for i := range 5000 {
		if !has(s, i, 0) {
			t.Fatalf("entry %d is gone", i)
		}
	}
	for i := range 20000 {
		put(s, 5000+i, 100, forever, 0)
	}
	if got := s.Stats(); got.Evictions != 0 {
		t.Errorf("%d evictions: the new room is not used", got.Evictions)
	}
}

// TestGrowingIsDoneInSteps: SetLimit itself moves nothing, each Tend a bounded part; everything is found, changed and deleted at any moment
// in between, and in the end the old index is gone. A further change in the middle of it finishes it first.
func TestGrowingIsDoneInSteps(t *testing.T) {
	s := newShard(t, 24<<20)
	const entries = 40000
	for i := range entries {
		put(s, i, 100, forever, 0)
	}
	if s.Stats().Evictions != 0 {
		t.Fatal("the test wants all of them to fit")
	}
	if err := s.SetLimit(48 << 20); err != nil {
		t.Fatal(err)
	}
	buckets, gone := len(s.old.buckets), map[int]bool{}
	if buckets == 0 || s.moved != 0 {
		t.Fatalf("%d buckets to move, %d moved, right after SetLimit", buckets, s.moved)
	}
	steps := 0
	for more := true; more; steps++ {
		before := s.moved
		more = s.Tend()
		if more && s.moved-before != bucketsPerTend {
			t.Fatalf("one step moved %d buckets, want %d", s.moved-before, bucketsPerTend)
		}
		i := steps * 97 % entries
		if key := testKey(i); steps%3 == 0 && !gone[i] {
			if !s.Delete(testHash(key), key) {
				t.Fatalf("step %d: entry %d could not be deleted", steps, i)
			}
			gone[i] = true
		} else if steps%3 == 1 {
			s.Put(testHash(key), key, testAnswer(i, 3000), forever, 0) // larger: the old one goes
			delete(gone, i)
		}
		if steps%40 == 0 {
			checkInvariants(t, s)
			for i := range entries {
				if has(s, i, 0) == gone[i] {
					t.Fatalf("step %d: entry %d there: %v", steps, i, gone[i])
				}
			}
		}
	}
	if want := buckets/bucketsPerTend + 1; steps > want || steps < want/2 || s.old.mem != nil {
		t.Errorf("%d steps for %d buckets, want %d at most, puts have a part", steps, buckets, want)
	}
	checkInvariants(t, s)
	if err := s.SetLimit(56 << 20); err != nil {
		t.Fatal(err)
	}
	s.Tend()
	if err := s.SetLimit(64 << 20); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
	for i := range entries {
		if has(s, i, 0) == gone[i] {
			t.Fatalf("in the end: entry %d there: %v", i, gone[i])
		}
	}
	if s.Tend(); s.old.mem == nil {
		t.Error("the second change was finished in one step")
	}
	s.Flush()
	if s.Tend() || s.Stats().Entries != 0 {
		t.Error("something is left to move after Flush")
	}
}

// TestShrinkKeepsWhatFits: of a big cache in which a tenth is asked for again and again, a smaller one keeps that tenth, is still full,
// and has given memory back.
func TestShrinkKeepsWhatFits(t *testing.T) {
	const large, small = 16 << 20, 4 << 20
	s := newShard(t, large)
	for i := range 60000 {
		put(s, i, 100, forever, 0)
		has(s, i/10*10, 0)
	}
	if err := s.SetLimit(small); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
	st := s.Stats()
	if st.Limit != small || st.Bytes > small {
		t.Errorf("%d bytes in use, limit %d, want at most %d", st.Bytes, st.Limit, small)
	}
	if want := uint64(small / 250); st.Entries < want {
		t.Errorf("%d entries left, want %d at least", st.Entries, want)
	}
	kept := 0
	for i := 0; i < 60000; i += 10 {
		if has(s, i, 0) {
			kept++
		}
	}
	if kept < 5900 {
		t.Errorf("%d of 6000 entries in use survive, want 5900 at least", kept)
	}
	for i := range 100000 {
		put(s, 60000+i, 100, forever, 0)
	}
	checkInvariants(t, s)
}

// TestResizeOften goes up and down through all sizes with a half-cleaned victim about.
func TestResizeOften(t *testing.T) {
	s := newShard(t, BytesMin)
	next := 0
	for step := range 60 {
		limit := int64(BytesMin + (step*7919%20)*600_000)
		if err := s.SetLimit(limit); err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			put(s, next, 50+next%400, 1000, uint32(step))
			has(s, next/2, uint32(step))
			next++
		}
		checkInvariants(t, s)
		if !has(s, next-1, uint32(step)) {
			t.Fatal("the newest entry is gone")
		}
	}
}
