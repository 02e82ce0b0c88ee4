package cache

import (
	"os/exec"
	"regexp"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// hotPaths are what the worker does per query, on a full shard; no row may allocate. The benchmarks run the same rows.
func hotPaths(t testing.TB, limit int64) []struct {
	name string
	run  func()
} {
	s := newShard(t, limit)
	a := testAnswer(1, 100)
	a.TTLs = a.TTLs[:3]
	names := int(limit / 250)
	keys := make([][]byte, 2*names)
	hashes := make([]uint64, len(keys))
	for i := range keys {
		keys[i] = testKey(i)
		hashes[i] = testHash(keys[i])
	}
	for i := range keys {
		s.Put(hashes[i], keys[i], a, forever, 0)
	}
	hot, put := 0, 0
	for i := range keys {
		if has(s, i, 0) {
			hot = i
			break
		}
	}
	present := make([]int, 0, names)
	for i := range keys {
		if has(s, i, 0) {
			present = append(present, i)
		}
	}
	var view wire.Answer
	n := 0
	absent := testKey(1 << 30)
	absentHash := testHash(absent)
	return []struct {
		name string
		run  func()
	}{
		{"GetHot", func() { s.Get(hashes[hot], keys[hot], 1, &view) }},
		{"GetAny", func() {
			i := present[n]
			if n += 7919; n >= len(present) {
				n %= len(present)
			}
			s.Get(hashes[i], keys[i], 1, &view)
		}},
		{"GetMiss", func() { s.Get(absentHash, absent, 1, &view) }},
		{"PutSame", func() { s.Put(hashes[hot], keys[hot], a, forever, 1) }},
		{"PutNew", func() {
			if put++; put == len(keys) {
				put = 0
			}
			s.Put(hashes[put], keys[put], a, forever, 1)
		}},
		{"PutDelete", func() {
			s.Put(absentHash, absent, a, forever, 1)
			s.Delete(absentHash, absent)
		}},
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	for _, p := range hotPaths(t, 4<<20) {
		if got := testing.AllocsPerRun(5000, p.run); got != 0 {
			t.Errorf("%s: %v allocations, want 0", p.name, got)
		}
	}
}

func BenchmarkCache(b *testing.B) {
	for _, p := range hotPaths(b, 64<<20) {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.run()
			}
		})
	}
}

// BenchmarkSetLimit changes a full shard of about a million entries by one chunk: "grow" is the pause of SetLimit, "tend" one step of what is
// left to do after it, "shrink" rebuilds the index at once.
func BenchmarkSetLimit(b *testing.B) {
	const limit = int64(128 << 20)
	s := newShard(b, limit)
	a := testAnswer(1, 44)
	for i := 0; s.Stats().Evictions < 100_000; i++ {
		key := testKey(i)
		s.Put(testHash(key), key, a, forever, 0)
	}
	entries := s.Stats().Entries
	set := func(b *testing.B, limit int64) {
		if err := s.SetLimit(limit); err != nil {
			b.Fatal(err)
		}
	}
	finish := func() {
		for s.Tend() {
		}
	}
	for _, kind := range []string{"grow", "tend", "shrink"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				finish()
				set(b, limit)
				if kind != "grow" {
					set(b, limit+int64(costPerChunk))
				}
				switch kind {
				case "tend":
					s.Tend() // the first one takes the page fault that an Ahead would spare it
				case "shrink":
					finish()
				}
				b.StartTimer()
				switch kind {
				case "grow":
					set(b, limit+int64(costPerChunk))
				case "tend":
					s.Tend()
				case "shrink":
					set(b, limit)
				}
			}
			b.ReportMetric(float64(entries), "entries")
		})
	}
}

// TestLeavesAreInlined keeps the small functions of Get inlinable.
func TestLeavesAreInlined(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	got := map[string]bool{}
	for _, m := range regexp.MustCompile(`can inline (\S+)`).FindAllStringSubmatch(string(out), -1) {
		got[m[1]] = true
	}
	for _, want := range []string{
		"(*index).first", "(*index).second", "lanes", "tagOf", "(*Shard).at", "entryAt", "(*entry).body", "ttlOffsets",
		"(*entry).visit", "(*entry).expired",
	} {
		if !got[want] {
			t.Errorf("%s is not inlinable any more", want)
		}
	}
}
