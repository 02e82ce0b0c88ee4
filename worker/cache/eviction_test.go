package cache

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// forever is a TTL that no test reaches.
const forever = 1 << 20

// lru is a plain LRU bounded in bytes, to compare with.
type lru struct {
	limit, used int64
	order       *list.List
	entries     map[int]*list.Element
}

type lruEntry struct {
	i    int
	cost int64
}

func (l *lru) get(i int) bool {
	e, ok := l.entries[i]
	if ok {
		l.order.MoveToFront(e)
	}
	return ok
}

func (l *lru) put(i int, cost int64) {
	l.entries[i] = l.order.PushFront(lruEntry{i, cost})
	for l.used += cost; l.used > l.limit; {
		old := l.order.Remove(l.order.Back()).(lruEntry)
		delete(l.entries, old.i)
		l.used -= old.cost
	}
}

// zipf draws ranks 0..n-1 with probability proportional to 1/(rank+1)^s, for any s.
type zipf struct{ sums []float64 }

func newZipf(n int, s float64) *zipf {
	z := &zipf{make([]float64, n)}
	sum := 0.0
	for i := range z.sums {
		sum += math.Pow(float64(i+1), -s)
		z.sums[i] = sum
	}
	return z
}

func (z *zipf) draw(rng *rand.Rand) int {
	i, _ := slices.BinarySearch(z.sums, rng.Float64()*z.sums[len(z.sums)-1])
	return i
}

// recordSize spreads answers from 16 to 400 bytes, by name.
func recordSize(i int) int { return 16 + (i*7919)%385 }

// runTrace asks for the names of trace, puts what is missed, and returns the share of hits after the first quarter.
func runTrace(trace []int, get func(i int) bool, put func(i int)) float64 {
	hits := 0
	for n, i := range trace {
		if get(i) {
			if n >= len(trace)/4 {
				hits++
			}
			continue
		}
		put(i)
	}
	return float64(hits) / float64(len(trace)*3/4)
}

func traceShard(t testing.TB, limit int64, trace []int) float64 {
	s := newShard(t, limit)
	answers := make([]*wire.Answer, 401)
	for size := range answers {
		answers[size] = testAnswer(1, size)
	}
	var a wire.Answer
	ratio := runTrace(trace, func(i int) bool {
		key := testKey(i)
		_, state := s.Get(testHash(key), key, 0, &a)
		return state == Fresh
	}, func(i int) {
		key := testKey(i)
		s.Put(testHash(key), key, answers[recordSize(i)], forever, 0)
	})
	checkInvariants(t, s)
	return ratio
}

func traceLRU(limit int64, overhead int, trace []int) float64 {
	l := &lru{limit: limit, order: list.New(), entries: map[int]*list.Element{}}
	keyBytes := len(testKey(0))
	messageBytes := func(i int) int { return wire.HeaderBytes + keyBytes - 1 + recordSize(i) }
	return runTrace(trace, l.get, func(i int) { l.put(i, int64(keyBytes+messageBytes(i)+overhead)) })
}

// TestHitRatio compares with a plain LRU of the same number of bytes, over Zipf traces, with and without a share of names that are asked
// once. The LRU stores what a packet cache without our layout would, message and key, and pays 64 bytes per entry for list, index and
// header, which is the most that we allow ourselves. The shard must not be worse in any row. For information there is also an LRU
// that pays nothing.
func TestHitRatio(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const names, requests = 100_000, 400_000
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-6s %-8s %-8s %9s %9s %12s\n", "zipf", "one-hit", "limit", "shard", "LRU", "LRU, no cost")
	for _, s := range []float64{0.8, 0.99, 1.2} {
		z := newZipf(names, s)
		for _, oneHit := range []float64{0, 0.3} {
			rng := rand.New(rand.NewPCG(uint64(s*100), 1))
			trace := make([]int, requests)
			for n := range trace {
				trace[n] = z.draw(rng)
				if rng.Float64() < oneHit {
					trace[n] = names + n
				}
			}
			for _, limit := range []int64{2 << 20, 4 << 20, 8 << 20} {
				got, old, free := traceShard(t, limit, trace), traceLRU(limit, 64, trace), traceLRU(limit, 0, trace)
				fmt.Fprintf(&table, "%-6.2f %-8.1f %-8s %8.2f%% %8.2f%% %11.2f%%\n", s, oneHit, fmt.Sprintf("%d MiB", limit>>20),
					100*got, 100*old, 100*free)
				if got < old {
					t.Errorf("zipf %.2f, one-hit %.1f, %d bytes: hit ratio %.4f, LRU has %.4f", s, oneHit, limit, got, old)
				}
			}
		}
	}
	t.Log(table.String())
}

// TestFloodOfOneHitNames: a hot set that is asked now and then survives a flood of many times the cache's size.
func TestFloodOfOneHitNames(t *testing.T) {
	s := newShard(t, 4<<20)
	const hot = 2000
	for range 3 {
		for i := range hot {
			if !has(s, i, 0) {
				put(s, i, 100, forever, 0)
			}
		}
	}
	next := hot
	for range 20 {
		for range 20_000 {
			put(s, next, 100, forever, 0)
			next++
		}
		for i := range hot {
			has(s, i, 0)
		}
	}
	survivors := 0
	for i := range hot {
		if has(s, i, 0) {
			survivors++
		}
	}
	t.Logf("%d of %d hot names survive %d one-hit names in a cache of %d entries", survivors, hot, next-hot, s.Stats().Entries)
	if survivors < hot*99/100 {
		t.Errorf("%d of %d hot names survive, want 99%%", survivors, hot)
	}
	checkInvariants(t, s)
}

// TestExpiredGoFirst: when short-lived and long-lived entries were stored side by side and the short ones have expired, room is made from
// them while the others stay, though none was ever asked for.
func TestExpiredGoFirst(t *testing.T) {
	s := newShard(t, 8<<20)
	n := 0
	for ; s.free.chunks > reserveChunks; n++ {
		ttl := uint32(30) // two of three
		if n%3 == 0 {
			ttl = forever
		}
		put(s, n, 100, ttl, 0)
	}
	for i := range n / 2 {
		put(s, n+i, 100, forever, 100)
	}
	st := s.Stats()
	if st.Evictions > uint64(n/100) {
		t.Errorf("%d evictions within the TTL, %d of expired entries, want at most %d of the former", st.Evictions, st.Expired, n/100)
	}
	checkInvariants(t, s)
}

// TestSizeShift: after a cache was filled with answers of one size that were asked for again, it must serve another size just as well.
// With size classes this is where one starves.
func TestSizeShift(t *testing.T) {
	const limit = 4 << 20
	s := newShard(t, limit)
	next := 0
	for _, size := range []int{30, 60000, 30, 4000, 100, 20000, 30} {
		room := limit / (size + 130)
		first := next
		for range 5 * room {
			if !put(s, next, size, forever, 0) || !has(s, next, 0) {
				t.Fatalf("size %d: not stored", size)
			}
			next++
		}
		kept := 0
		for i := first; i < next; i++ {
			if key := testKey(i); s.find(testHash(key), key) != nil {
				kept++
			}
		}
		if kept < room/3 {
			t.Errorf("size %d: %d entries kept, want %d at least", size, kept, room/3)
		}
		checkInvariants(t, s)
	}
}

// TestBytesPerEntry: at a million entries everything together is at most message, key and 64 bytes per entry.
func TestBytesPerEntry(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 700 MiB")
	}
	for _, tt := range []struct {
		records, ttls int
		limitMiB      int64
	}{{16, 1, 120}, {44, 2, 140}, {100, 4, 200}, {300, 6, 400}} {
		s := newShard(t, tt.limitMiB<<20)
		a := testAnswer(1, tt.records)
		a.TTLs = make([]uint16, tt.ttls)
		name := testKey(0)
		for i := uint32(0); s.free.chunks > reserveChunks; i++ {
			binary.LittleEndian.PutUint32(name[1:], i)
			s.Put(testHash(name), name, a, forever, 0)
		}
		st := s.Stats()
		key := len(name)
		message := wire.HeaderBytes + key - 1 + tt.records
		got, want := float64(st.Limit)/float64(st.Entries), message+key+64
		t.Logf("%3d-byte message, %d-byte key: %7d entries, %.1f bytes each, %.1f over message and key", message, key, st.Entries, got,
			got-float64(message+key))
		if got > float64(want) {
			t.Errorf("%d-byte message: %.1f bytes per entry, want at most %d", message, got, want)
		}
		// The smallest answers outnumber the slots; room for them would be taken from all others.
		if tt.records >= 44 && st.Evictions > st.Entries/10 {
			t.Errorf("%d-byte message: %d evictions for want of an index slot, %d entries", message, st.Evictions, st.Entries)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPutIsBounded: no Put cleans more than its share, whatever is in the cache.
func TestPutIsBounded(t *testing.T) {
	s := newShard(t, 4<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	most := 0
	for i := range 50_000 {
		put(s, i, 100, forever, 0)
		has(s, int(rng.Uint32N(uint32(i+1))), 0) // some of everything is worth keeping
		has(s, i-5000, 0)
		before := s.Stats()
		put(s, 1_000_000+i, 100, forever, 0)
		after := s.Stats()
		most = max(most, int(after.Evictions-before.Evictions))
	}
	if limit := 2 * cleanFactor; most > limit {
		t.Errorf("one Put of an average entry evicted %d, want at most %d", most, limit)
	}
	checkInvariants(t, s)
}
