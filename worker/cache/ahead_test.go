package cache

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// resident counts the pages of b that have memory.
func resident(t testing.TB, b []byte) int {
	t.Helper()
	page := syscall.Getpagesize()
	vec := make([]byte, (len(b)+page-1)/page)
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, v := range vec {
		n += int(v & 1)
	}
	return n
}

func newAheadShard(t testing.TB, limit int64) (*Shard, *Ahead) {
	t.Helper()
	a := new(Ahead)
	s, err := New(Config{Bytes: limit, Ahead: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, a
}

// TestNothingIsTouchedFirstByPut: with Work done in time, every chunk that Put opens has its pages already, and the index has all of its
// own; and no more than aheadChunks are provided in advance.
func TestNothingIsTouchedFirstByPut(t *testing.T) {
	s, ahead := newAheadShard(t, 32<<20)
	page := syscall.Getpagesize()
	if n := resident(t, s.index.mem); n != 0 {
		t.Fatalf("%d pages of the index before Work, want 0", n)
	}
	if !ahead.Work() || ahead.Work() {
		t.Error("want one order at the start")
	}
	if n, want := resident(t, s.index.mem), (len(s.index.mem)+page-1)/page; n != want {
		t.Errorf("%d pages of the index after Work, want %d", n, want)
	}
	answer := testAnswer(1, 400)
	opened := 0
	for i := 0; s.stats.Evictions == 0; i++ {
		next := s.free.front
		key := testKey(i)
		s.Put(testHash(key), key, answer, forever, 0)
		if s.free.front == next || next == nowhere {
			continue
		}
		opened++
		used := s.free.front
		if n := resident(t, s.chunks[next].mem); n != chunkBytes/page {
			t.Fatalf("chunk %d (opened as number %d): %d pages when opened, want %d", next, opened, n, chunkBytes/page)
		}
		ahead.Work()
		provided := 0
		for id := used; id != nowhere; id = s.chunks[id].prev {
			provided += resident(t, s.chunks[id].mem) / (chunkBytes / page)
		}
		if provided > 2*aheadChunks {
			t.Fatalf("%d free chunks are provided, want at most %d and the rest of a huge page", provided, aheadChunks)
		}
	}
	if opened < 200 {
		t.Fatalf("only %d chunks opened", opened)
	}
	s.Flush()
	if n := resident(t, s.index.mem); n > 64<<10/page+1 { // wipe clears the last 64 KiB by hand
		t.Errorf("%d pages of the index after Flush", n)
	}
	ahead.Work()
	if n, want := resident(t, s.index.mem), (len(s.index.mem)+page-1)/page; n != want {
		t.Errorf("%d pages of the index after Flush and Work, want %d", n, want)
	}
}

// TestAheadBesideResizes: another goroutine works all the time while the shard is filled, resized, flushed and closed. What it must not do,
// to touch memory that is gone, shows as a crash or as damaged entries.
func TestAheadBesideResizes(t *testing.T) {
	var stop atomic.Bool
	s, ahead := newAheadShard(t, 8<<20)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !stop.Load() {
			if !ahead.Work() {
				time.Sleep(time.Microsecond)
			}
		}
	}()
	limits := []int64{8 << 20, 40 << 20, 3 << 20, 16 << 20}
	for round := range 40 {
		if err := s.SetLimit(limits[round%len(limits)]); err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			key := testKey(round*3000 + i)
			s.Put(testHash(key), key, testAnswer(i, 300), forever, 0)
			if !has(s, round*3000+i, 0) {
				t.Fatalf("round %d: entry %d is not there", round, i)
			}
		}
		if round%5 == 4 {
			s.Flush()
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	stop.Store(true)
	<-ended
}

func TestAheadWithdrawsOrders(t *testing.T) {
	var none *Ahead
	if none.Work() || none.idle() {
		t.Error("a nil Ahead has work")
	}
	none.cancel()
	s, ahead := newAheadShard(t, 4<<20)
	ahead.cancel()
	if ahead.Work() {
		t.Error("a withdrawn order was carried out")
	}
	if n := resident(t, s.index.mem); n != 0 {
		t.Errorf("%d pages of the index, want 0", n)
	}
	if err := s.SetLimit(4 << 20); err != nil || ahead.Work() {
		t.Errorf("the same limit again: %v, or an order", err)
	}
}

// BenchmarkColdPut stores answers to new names in an empty shard of 1 GiB, one call after the other, and reports how long single calls
// took: "lazy" touches each page itself, "ahead" has a goroutine that provides them.
func BenchmarkColdPut(b *testing.B) {
	const puts = 200_000
	for _, kind := range []string{"lazy", "ahead"} {
		b.Run(kind, func(b *testing.B) {
			answer := testAnswer(1, 200)
			times := make([]time.Duration, 0, puts)
			for b.Loop() {
				b.StopTimer()
				var ahead *Ahead
				var stop atomic.Bool
				ended := make(chan struct{})
				if kind == "ahead" {
					ahead = new(Ahead)
				}
				s, err := New(Config{Bytes: 1 << 30, Ahead: ahead})
				if err != nil {
					b.Fatal(err)
				}
				ahead.Work()
				go func() {
					defer close(ended)
					for !stop.Load() {
						if !ahead.Work() {
							time.Sleep(time.Millisecond)
						}
					}
				}()
				times = times[:0]
				b.StartTimer()
				for i := range puts {
					key := testKey(i)
					hash := testHash(key)
					start := time.Now()
					s.Put(hash, key, answer, forever, 0)
					times = append(times, time.Since(start))
				}
				b.StopTimer()
				stop.Store(true)
				<-ended
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			var stalled time.Duration // in calls of 50 us and more
			for _, d := range times {
				if d >= 50*time.Microsecond {
					stalled += d
				}
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[puts-puts/1000]), "ns-p99.9")
			b.ReportMetric(float64(times[puts-puts/10000]), "ns-p99.99")
			b.ReportMetric(float64(times[puts-1]), "ns-max")
			b.ReportMetric(float64(stalled)/1e6, "ms-stalled")
		})
	}
}
