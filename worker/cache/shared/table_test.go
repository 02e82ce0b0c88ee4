package shared

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport/wire"
)

// onHeap makes a table in memory that the race detector watches, which it does not do with mappings.
func onHeap(bytes int) *Table { return build(make([]uint64, bytes/wordBytes), nil) }

func testKey(i int) []byte {
	name := fmt.Sprintf("\x06n%05d\x07example\x00", i)
	return append([]byte(name), 0, 1, 0, 1, wire.KeyRD)
}

// testHash sends all keys into a few sets, so that they compete.
func testHash(i int) uint64 {
	h := uint64(i+1) * 0x9E3779B97F4A7C15
	return uint64(i%3)<<62 | h>>16
}

// testAnswer is an answer that can be told from parts of others: every 8 bytes of its records have the number of the key and of the version.
func testAnswer(i, version, size int) *wire.Answer {
	a := &wire.Answer{Flags: wire.FlagQR | wire.FlagAA, AN: uint16(version), NS: uint16(i), Negative: version%2 == 1, Extended: uint16(version % 30)}
	for len(a.Records) < size {
		a.Records = binary.BigEndian.AppendUint32(a.Records, uint32(i))
		a.Records = binary.BigEndian.AppendUint32(a.Records, uint32(version))
	}
	a.TTLs = []uint16{uint16(version), uint16(i)}
	return a
}

// checkAnswer reports what is wrong with an answer to key i, and its version.
func checkAnswer(i int, a *wire.Answer) (version int, problem string) {
	version = int(a.AN)
	if want := testAnswer(i, version, len(a.Records)); !bytes.Equal(a.Records, want.Records) || a.NS != want.NS || a.Negative != want.Negative ||
		len(a.TTLs) != 2 || a.TTLs[0] != want.TTLs[0] || a.TTLs[1] != want.TTLs[1] || a.Flags != want.Flags || a.Extended != want.Extended || a.AR != 0 || a.RCode != 0 {
		return version, fmt.Sprintf("key %d, version %d: parts of different answers, %d bytes: %+v", i, version, len(a.Records), a.TTLs)
	}
	return version, ""
}

func TestPutThenGet(t *testing.T) {
	table, err := New(BytesMin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var put, got Copy
	for i, size := range []int{0, 8, 200, 904, 4000} {
		key, hash := testKey(i), testHash(i)
		if r := table.Put(hash, key, testAnswer(i, i, size), 300, 1000, &put); r != Stored {
			t.Fatalf("%d bytes: %v", size, r)
		}
		age, state := table.Get(hash, key, 1100, &got)
		if _, problem := checkAnswer(i, &got.Answer); problem != "" || age != 100 || state != Fresh || got.Answer.TTL != 300 || len(got.Answer.Records) != size {
			t.Errorf("%d bytes: age %d, %v, TTL %d, %d bytes %s", size, age, state, got.Answer.TTL, len(got.Answer.Records), problem)
		}
		if age, state = table.Get(hash, key, 1300, &got); age != 300 || state != Expired {
			t.Errorf("%d bytes at its end: age %d, %v", size, age, state)
		}
		if _, state = table.Get(hash, testKey(i+1000), 1100, &got); state != Miss {
			t.Errorf("another key of the same hash: %v", state)
		}
	}
}

func TestNothingIsSharedThatIsNotKept(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	bad := testAnswer(0, 0, 8)
	bad.RCode = 16
	for name, r := range map[string]Result{
		"TTL 0":     table.Put(1, testKey(0), testAnswer(0, 0, 8), 0, 1, &c),
		"BADVERS":   table.Put(1, testKey(0), bad, 60, 1, &c),
		"too large": table.Put(1, testKey(0), testAnswer(0, 0, EntryBytesMax), 60, 1, &c),
		"no key":    table.Put(1, nil, testAnswer(0, 0, 8), 60, 1, &c),
	} {
		if r != TooLarge || r.Kept() {
			t.Errorf("%s: %v", name, r)
		}
	}
	if _, state := table.Get(1, testKey(0), 1, &c); state != Miss {
		t.Errorf("found: %v", state)
	}
}

// TestAnswerOfAnotherSizeReplaces: one key is never in two classes.
func TestAnswerOfAnotherSizeReplaces(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	for version, size := range []int{8, 900, 3000, 8} {
		table.Put(testHash(1), testKey(1), testAnswer(1, version, size), 60, 1, &c)
		if _, state := table.Get(testHash(1), testKey(1), 2, &c); state != Fresh || int(c.Answer.AN) != version {
			t.Errorf("%v, version %d, want %d", state, c.Answer.AN, version)
		}
		if n := entries(table); n != 1 {
			t.Errorf("%d entries after version %d, want 1", n, version)
		}
	}
}

func entries(table *Table) (n int) {
	for s := range table.sets {
		for way := range ways {
			if atomic.LoadUint64(s.state(way))&tagMask != 0 {
				n++
			}
		}
	}
	return n
}

// TestReaderNeverWaitsForAWriter: one that stops in the middle of its work costs a reader nothing but that one answer.
// large answers have only the last class to go to.
const large = 3000

func TestReaderNeverWaitsForAWriter(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	for i := 0; i < 3*ways; i += 3 { // one set, full
		table.Put(testHash(i), testKey(i), testAnswer(i, 0, large), 300, 1, &c)
	}
	s := table.parts[0].classes[classes-1].set(testHash(3))
	way, state, _ := s.find(testHash(3))
	if !s.take(way, state, tagOf(testHash(3))) {
		t.Fatal("not taken")
	}
	s.slot(way)[headerWords] = 0xDEAD // half of a new answer
	done := make(chan struct{})
	go func() {
		defer close(done)
		var c Copy
		for i := 0; i < 3*ways; i += 3 {
			want := Fresh
			if i == 3 {
				want = Busy
			}
			if _, state := table.Get(testHash(i), testKey(i), 2, &c); state != want {
				t.Errorf("key %d: %v, want %v", i, state, want)
			}
		}
		if r := table.Put(testHash(3), testKey(3), testAnswer(3, 1, large), 300, 2, &c); r != Crowded {
			t.Errorf("Put of the answer that is being written: %v", r)
		}
		for i := 300; i < 330; i += 3 { // others go on, in what is left of the set
			if r := table.Put(testHash(i), testKey(i), testAnswer(i, 0, large), 300, 2, &c); r != Evicted {
				t.Errorf("Put beside the writer: %v", r)
			}
		}
		if _, left := table.FlushMatching(func([]byte) bool { return true }); left != 1 {
			t.Errorf("%d slots left by a flush, want the one of the writer", left)
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("somebody waits for the writer")
	}
	// It goes on: what it held is void, for the flush came between.
	table.Flush()
	c.save(s.slot(way), c.fill(testHash(3), testKey(3), testAnswer(3, 2, large), 300, 1, 0))
	s.give(way, state, tagOf(testHash(3)))
	if _, state := table.Get(testHash(3), testKey(3), 2, &c); state != Miss {
		t.Errorf("an entry from before the flush: %v", state)
	}
}

// TestAllWritersStopped: a set without a slot to write to takes nothing, at once.
func TestAllWritersStopped(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	for i := range table.parts[0].classes {
		s := table.parts[0].classes[i].set(testHash(0))
		for way := range ways {
			s.take(way, 0, 5)
		}
	}
	if r := table.Put(testHash(0), testKey(0), testAnswer(0, 0, 8), 300, 1, &c); r != Crowded {
		t.Errorf("got %v", r)
	}
}

func TestExpiredThenUnvisitedGoFirst(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	put := func(i int, ttl, now uint32) Result {
		return table.Put(testHash(i), testKey(i), testAnswer(i, 0, large), ttl, now, &c)
	}
	there := func(i int, now uint32) bool {
		_, state := table.Get(testHash(i), testKey(i), now, &c)
		return state == Fresh
	}
	for i := range ways {
		put(3*i, 1000, uint32(1+i))
	}
	for i := range ways - 1 { // all but the youngest are asked for
		there(3*i, 10)
	}
	if r := put(300, 1000, 20); r != Evicted || there(3*(ways-1), 20) || !there(0, 20) {
		t.Errorf("%v: the one that nobody came for is not the one that went", r)
	}
	put(300, 5, 20) // visited above and replaced: still young and popular, but soon expired
	if r := put(303, 1000, 30); r != Stored || there(300, 24) {
		t.Errorf("%v: the expired one is not the one that went", r)
	}
	// A flood of names that nobody asks for again replaces itself.
	for i := 1000; i < 1300; i += 3 {
		put(i, 1000, 40)
	}
	for i := range ways - 1 {
		if !there(3*i, 40) {
			t.Errorf("key %d was washed out", 3*i)
		}
	}
}

// TestFullClassUsesLargerSlots: what has no room among its own goes where nothing is lost by it.
func TestFullClassUsesLargerSlots(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	there := func(n int) (found int) {
		for i := range n {
			if _, state := table.Get(testHash(3*i), testKey(3*i), 2, &c); state == Fresh {
				found++
			}
		}
		return found
	}
	for i := range classes * ways {
		if r := table.Put(testHash(3*i), testKey(3*i), testAnswer(3*i, 0, 8), 300, 1, &c); r != Stored {
			t.Fatalf("answer %d: %v", i, r)
		}
	}
	if n := there(classes * ways); n != classes*ways {
		t.Errorf("%d of %d found", n, classes*ways)
	}
	if r := table.Put(testHash(300), testKey(300), testAnswer(300, 0, 8), 300, 1, &c); r != Evicted {
		t.Errorf("when all are full: %v", r)
	}
	if n := there(classes * ways); n != classes*ways-1 {
		t.Errorf("%d of %d left", n, classes*ways)
	}
	for i := range classes * ways { // the same questions again take no second place
		table.Put(testHash(3*i), testKey(3*i), testAnswer(3*i, 1, 8), 300, 2, &c)
	}
	if n := entries(table); n != classes*ways {
		t.Errorf("%d entries, want %d", n, classes*ways)
	}
}

func TestFlush(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	for i := range 20 {
		table.Put(testHash(i), testKey(i), testAnswer(i, 0, 80*i), 300, 1, &c)
	}
	odd := func(key []byte) bool { return wire.KeyName(key)[6]&1 == 1 }
	if dropped, left := table.FlushMatching(odd); dropped != 10 || left != 0 {
		t.Errorf("dropped %d, left %d", dropped, left)
	}
	for i := range 20 {
		want := Fresh
		if i%2 == 1 {
			want = Miss
		}
		if _, state := table.Get(testHash(i), testKey(i), 2, &c); state != want {
			t.Errorf("key %d: %v, want %v", i, state, want)
		}
	}
	table.Flush()
	if n := entries(table); n != 0 {
		t.Errorf("%d entries after a flush", n)
	}
	if r := table.Put(testHash(0), testKey(0), testAnswer(0, 0, 8), 300, 1, &c); r != Stored {
		t.Errorf("after a flush: %v", r)
	}
}

func TestCopyTo(t *testing.T) {
	from, to := onHeap(BytesMin), onHeap(2*BytesMin)
	from.Flush()
	var c Copy
	for i := range 20 {
		from.Put(testHash(i), testKey(i), testAnswer(i, 7, 80*i), uint32(100+i), 1, &c)
	}
	if n := from.CopyTo(to, 111); n != 9 {
		t.Errorf("copied %d, want those that have not expired, 9", n)
	}
	for i := 11; i < 20; i++ {
		age, state := to.Get(testHash(i), testKey(i), 111, &c)
		if _, problem := checkAnswer(i, &c.Answer); problem != "" || state != Fresh || age != 110 || c.Answer.TTL != uint32(100+i) {
			t.Errorf("key %d: %v, age %d, TTL %d %s", i, state, age, c.Answer.TTL, problem)
		}
	}
}

// TestChangedSlotIsNotRead: a copy counts only if the slot has not changed since its state was seen, even to the same question.
func TestChangedSlotIsNotRead(t *testing.T) {
	table := onHeap(BytesMin)
	var c Copy
	key, hash := testKey(1), testHash(1)
	table.Put(hash, key, testAnswer(1, 1, 8), 300, 1, &c)
	s := table.parts[0].classes[0].set(hash)
	way, seen, _ := s.find(hash)
	if !s.read(way, seen, &c) {
		t.Fatal("an unchanged slot was not read")
	}
	table.Put(hash, key, testAnswer(1, 2, 8), 300, 1, &c)
	if s.read(way, seen, &c) {
		t.Error("a slot was read that has been written again")
	}
	_, seen, _ = s.find(hash)
	s.take(way, seen, tagOf(hash))
	if s.read(way, seen, &c) {
		t.Error("a slot was read that is being written")
	}
}

// TestReadersSeeWholeAnswers has threads write and read the same few answers all the time. What a reader gets is one answer, whole, to its
// question, and never older than what it has seen before from a single writer.
func TestReadersSeeWholeAnswers(t *testing.T) {
	table := onHeap(BytesMin)
	const keys, writers, readers, rounds, versions = 6, 3, 3, 10_000, 100
	var threads sync.WaitGroup
	var found, torn atomic.Int64
	var stop atomic.Bool
	for n := range writers { // each has its own keys, so that versions grow
		threads.Go(func() {
			var c Copy
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			var answers [keys][versions]*wire.Answer // made before, so that there is little but writing
			for i := range answers {
				for version := range versions {
					answers[i][version] = testAnswer(i, version, 1000+8*rng.IntN(300))
				}
			}
			for round := range rounds {
				i, version := n+writers*rng.IntN(keys/writers), round*versions/rounds
				table.Put(testHash(i), testKey(i), answers[i][version], 300, 1, &c)
				if round%2500 == 2499 {
					table.FlushMatching(func(key []byte) bool { return wire.KeyName(key)[6] == '3' })
				}
			}
		})
	}
	var watchers sync.WaitGroup
	for n := range readers {
		watchers.Go(func() {
			var c Copy
			var last [keys]int
			rng := rand.New(rand.NewPCG(uint64(n), 2))
			for !stop.Load() {
				i := rng.IntN(keys)
				switch _, state := table.Get(testHash(i), testKey(i), 2, &c); state {
				case Fresh:
					found.Add(1)
					version, problem := checkAnswer(i, &c.Answer)
					if problem != "" {
						t.Error(problem)
						return
					}
					if version < last[i] {
						t.Errorf("key %d: version %d after %d", i, version, last[i])
					}
					last[i] = version
				case Busy:
					torn.Add(1)
				}
			}
		})
	}
	threads.Wait()
	stop.Store(true)
	watchers.Wait()
	for s := range table.sets {
		for way := range ways {
			if written(atomic.LoadUint64(s.state(way))) {
				t.Error("a slot was left as being written")
			}
		}
	}
	t.Logf("%d found, %d busy", found.Load(), torn.Load())
	if found.Load() == 0 {
		t.Error("nothing was ever found")
	}
}

func TestNothingAllocates(t *testing.T) {
	table, err := New(BytesMin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	directory, err := NewDirectory(16)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	inbox, err := NewInbox(func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	key, a, c := testKey(1), testAnswer(1, 1, 100), new(Copy)
	for name, do := range map[string]func(){
		"Put": func() { table.Put(1, key, a, 60, 1, c) },
		"Get": func() { table.Get(1, key, 2, c) },
		"Join, Expect, Follows, Release": func() {
			directory.Join(1, 0, 1, 2)
			directory.Join(1, 1, 1, 2)
			directory.Expect(1, 5)
			directory.Follows(1, 1)
			directory.Release(1, 0)
		},
		"Post, Pending, Take, Missed": func() {
			inbox.Post(1, Word{})
			inbox.Pending()
			inbox.Take()
			inbox.Missed()
		},
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, n := range []int64{0, BytesMin - 1, BytesMax + 1} {
		if table, err := New(n, nil); err == nil {
			t.Errorf("%d bytes: no error", n)
			table.Close()
		}
	}
	table, err := New(5<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	used := 0
	for i := range table.parts[0].classes {
		if table.parts[0].classes[i].sets == 0 {
			t.Errorf("class %d has no sets", i)
		}
		used += len(table.parts[0].classes[i].words) * wordBytes
	}
	if used > 5<<20 || used < 5<<20*9/10 || table.Limit() != 5<<20 {
		t.Errorf("%d bytes used of %d", used, table.Limit())
	}
	steps := 0
	for table.Provide() {
		steps++
	}
	if steps != 3 {
		t.Errorf("provided in %d steps of 2 MiB, want 3", steps)
	}
}

func BenchmarkGet(b *testing.B) {
	table := onHeap(16 << 20)
	var c Copy
	const n = 10_000
	var keys [n][]byte
	for i := range n {
		keys[i] = testKey(i)
		table.Put(uint64(i)*0x9E3779B97F4A7C15, keys[i], testAnswer(i, 1, 60), 300, 1, &c)
	}
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			i := i * 7919 % n
			table.Get(uint64(i)*0x9E3779B97F4A7C15, keys[i], 2, &c)
		}
	})
	b.Run("miss", func(b *testing.B) {
		for i := range b.N {
			table.Get(uint64(i)*0xD1342543DE82EF95, keys[0], 2, &c)
		}
	})
	b.Run("put", func(b *testing.B) {
		a := testAnswer(1, 1, 60)
		b.ReportAllocs()
		for i := range b.N {
			table.Put(uint64(i%n)*0xD1342543DE82EF95, keys[i%n], a, 300, 2, &c)
		}
	})
}
