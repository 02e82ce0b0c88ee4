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
