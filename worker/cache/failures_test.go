package cache

import (
	"testing"
	"time"
)

func newFailures(t *testing.T) *Failures {
	f, err := NewFailures()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFailuresEndAndGrow(t *testing.T) {
	f := newFailures(t)
	const first, most = int64(2 * time.Second), int64(7 * time.Second)
	now := int64(time.Hour)
	fail := func(want time.Duration) {
		t.Helper()
		f.Add(1, 2, now, first, most)
		if rcode, held := f.Held(1, now+int64(want)-1); !held || rcode != 2 {
			t.Errorf("not held for %v", want)
		}
		if _, held := f.Held(1, now+int64(want)); held {
			t.Errorf("held for %v and longer", want)
		}
		now += int64(want)
	}
	fail(2 * time.Second)
	fail(4 * time.Second)
	fail(7 * time.Second)
	fail(7 * time.Second)
	now += int64(8 * time.Second) // long enough ago: it begins anew
	fail(2 * time.Second)
	f.Forget(1)
	fail(2 * time.Second)
	if _, held := f.Held(1+failureSets, now-1); held {
		t.Error("another question of the same set is held")
	}
	f.Add(9, 2, now, 0, 0)
	if _, held := f.Held(9, now); held {
		t.Error("held for no time")
	}
}

// TestFailuresKeepTheLatest: a set that is full forgets the failure that ends first.
func TestFailuresKeepTheLatest(t *testing.T) {
	f := newFailures(t)
	now := int64(time.Hour)
	for i := range uint64(failureWays + 1) {
		f.Add(5+i*failureSets, 2, now+int64(i), int64(time.Second), int64(time.Second))
	}
	for i := range uint64(failureWays + 1) {
		if _, held := f.Held(5+i*failureSets, now+10); held != (i > 0) {
			t.Errorf("failure %d of %d: held %v", i, failureWays+1, held)
		}
	}
}

func TestFailuresAllocateNothing(t *testing.T) {
	f := newFailures(t)
	if n := testing.AllocsPerRun(100, func() {
		f.Add(3, 2, 1, int64(time.Second), int64(time.Second))
		f.Held(3, 2)
		f.Forget(3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
