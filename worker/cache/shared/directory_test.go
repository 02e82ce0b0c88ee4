package shared

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"testing"
)

func directoryOnHeap(n int) *Directory { return &Directory{entries: make([]question, n)} }

func TestFirstOwnsOthersFollow(t *testing.T) {
	d := directoryOnHeap(16)
	const hash = 0x123456789ABCDEF0
	if role, _ := d.Join(hash, 3, 10, 20); role != Owner {
		t.Fatalf("first: %v", role)
	}
	for _, w := range []int{0, 5, 31, 5, 37} {
		if role, until := d.Join(hash, w, 10, 99); role != Follower || until != 20 {
			t.Errorf("worker %d: %v until %d", w, role, until)
		}
		if until, ok := d.Follows(hash, w); !ok || until != 20 {
			t.Errorf("worker %d does not follow", w)
		}
	}
	if _, ok := d.Follows(hash, 1); ok {
		t.Error("worker 1 follows")
	}
	d.Expect(hash, 30)
	if until, _ := d.Follows(hash, 0); until != 30 {
		t.Errorf("expected by %d, want 30", until)
	}
	other := uint64(hash + 1<<50) // wants the same entry
	if role, _ := d.Join(other, 1, 10, 20); role != Alone {
		t.Errorf("another question on the same entry: %v", role)
	}
	if got, want := d.Release(hash, 0), uint32(1|1<<5|1<<31); got != want { // 37 is 5 again
		t.Errorf("followers %#x, want %#x", got, want)
	}
	if _, ok := d.Follows(hash, 0); ok {
		t.Error("still follows after the end")
	}
	if role, _ := d.Join(other, 1, 10, 20); role != Owner {
		t.Errorf("the entry is free: %v", role)
	}
}

func TestWhatCannotBeSharedIsNotFollowed(t *testing.T) {
	d := directoryOnHeap(16)
	d.Join(7, 0, 10, 20)
	d.Release(7, 100)
	if role, _ := d.Join(7, 1, 50, 60); role != Alone {
		t.Errorf("before the time is over: %v", role)
	}
	if role, _ := d.Join(7+1<<50, 1, 50, 60); role != Owner {
		t.Errorf("another question: %v", role)
	}
	d.Release(7+1<<50, 0)
	d.Join(7, 0, 10, 20)
	d.Release(7, 100)
	if role, _ := d.Join(7, 1, 100, 160); role != Owner {
		t.Errorf("afterwards: %v", role)
	}
}

// TestNobodyRegistersTooLate: threads compete for a question again and again. There is one owner at a time, and every follower is in what its
// owner gets from Release.
func TestNobodyRegistersTooLate(t *testing.T) {
	d := directoryOnHeap(4)
	const hash, workers, rounds = 0xABCDEF, 8, 20000
	var owners, told, follows, owned atomic.Int64
	var waiting [workers]atomic.Bool
	var threads sync.WaitGroup
	for w := range workers {
		threads.Go(func() {
			for range rounds {
				switch role, _ := d.Join(hash, w, 0, 1); role {
				case Owner:
					owned.Add(1)
					if owners.Add(1) != 1 {
						t.Error("two owners")
					}
					owners.Add(-1)
					followers := d.Release(hash, 0)
					told.Add(int64(bits.OnesCount32(followers)))
					for i := range workers {
						if followers>>i&1 != 0 {
							for !waiting[i].CompareAndSwap(true, false) { // it is about to say so
							}
						}
					}
				case Follower:
					follows.Add(1)
					waiting[w].Store(true)
					for waiting[w].Load() { // until told
					}
				}
			}
		})
	}
	threads.Wait()
	if told.Load() != follows.Load() || owned.Load() == 0 {
		t.Errorf("%d followed, %d were told, %d owned", follows.Load(), told.Load(), owned.Load())
	}
}

func TestDirectorySizes(t *testing.T) {
	for slots, want := range map[int]int{1: entriesMin, 16384: 1 << 16, 20000: 1 << 17, 1 << 25: entriesMax} {
		d, err := NewDirectory(slots)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.entries) != want {
			t.Errorf("%d slots: %d entries, want %d", slots, len(d.entries), want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
