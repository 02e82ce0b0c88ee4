package cache

import (
	"math/rand/v2"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// named is the key of a name, of the pool with that tag.
func named(name string, qtype uint16, tag uint8) []byte {
	key := []byte(name)
	key = append(key, 0, byte(qtype), 0, 1, wire.KeyRD)
	wire.SetKeyPool(key, tag)
	return key
}

func holds(s *Shard, key []byte) bool {
	var a wire.Answer
	_, state := s.Get(testHash(key), key, 0, &a)
	return state == Fresh
}

// finish tends until nothing is left and returns the steps that took.
func finish(t *testing.T, s *Shard) int {
	t.Helper()
	for steps := 1; ; steps++ {
		if !s.Tend() {
			return steps
		}
		if steps > 1_000_000 {
			t.Fatal("Tend never ends")
		}
	}
}

func TestFlushTakesWhatIsMeant(t *testing.T) {
	const a, aaaa = 1, 28
	keys := map[string][]byte{
		"example A": named("\x07example\x00", a, 0), "example AAAA": named("\x07example\x00", aaaa, 0), "example A, pool 1": named("\x07example\x00", a, 1),
		"www A": named("\x03www\x07example\x00", a, 0), "xexample A": named("\x08xexample\x00", a, 0), "other A": named("\x05other\x00", a, 0),
	}
	for _, test := range []struct {
		name string
		m    Match
		gone []string
	}{
		{"a name", Match{Name: []byte("\x07example\x00")}, []string{"example A", "example AAAA", "example A, pool 1"}},
		{"a name and a type", Match{Name: []byte("\x07example\x00"), Type: aaaa}, []string{"example AAAA"}},
		{"a name of a pool", Match{Name: []byte("\x07example\x00"), Pools: 1 << 1}, []string{"example A, pool 1"}},
		{"a suffix", Match{Name: []byte("\x07example\x00"), Below: true, Type: a}, []string{"example A", "example A, pool 1", "www A"}},
		{"the root", Match{Name: []byte("\x00"), Below: true}, []string{"example A", "example AAAA", "example A, pool 1", "www A", "xexample A", "other A"}},
		{"all", Match{}, []string{"example A", "example AAAA", "example A, pool 1", "www A", "xexample A", "other A"}},
		{"nothing", Match{Name: []byte("\x00")}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShard(t, BytesMin)
			for _, key := range keys {
				s.Put(testHash(key), key, testAnswer(1, 50), forever, 0)
			}
			f := &Flush{Match: test.m}
			if !s.Begin(f) {
				t.Fatal("refused")
			}
			for round := range 2 { // at once, and when all is done
				for name, key := range keys {
					want := true
					for _, gone := range test.gone {
						want = want && gone != name
					}
					if holds(s, key) != want {
						t.Errorf("round %d: %s is there: %v", round, name, !want)
					}
				}
				finish(t, s)
			}
			if !f.Done || int(f.Removed) != len(test.gone) || int(s.Stats().Entries) != len(keys)-len(test.gone) {
				t.Errorf("done %v, removed %d, %d entries; want %d removed", f.Done, f.Removed, s.Stats().Entries, len(test.gone))
			}
			checkInvariants(t, s)
		})
	}
}

// TestFlushIsDoneInSteps: what is doomed is not found from the first moment, no step does more than its share, new answers to the same names
// stay, and the caller may flush again and again meanwhile.
func TestFlushIsDoneInSteps(t *testing.T) {
	s := newShard(t, 16<<20)
	const entries = 40_000
	for i := range entries {
		put(s, i, 100, forever, 0)
	}
	f := &Flush{Match: Match{Name: []byte("\x07example\x03com\x00"), Below: true}}
	if !s.Begin(f) {
		t.Fatal("refused")
	}
	for i := range entries {
		if has(s, i, 0) {
			t.Fatalf("entry %d is found after Begin", i)
		}
	}
	put(s, 7, 100, forever, 0)
	steps, last := 0, f.Removed
	for more := true; more; steps++ {
		more = s.Tend()
		if f.Removed-last > entriesPerTend {
			t.Fatalf("step %d removed %d, want at most %d", steps, f.Removed-last, entriesPerTend)
		}
		last = f.Removed
	}
	if steps < entries/entriesPerTend || f.Removed != entries || s.Stats().Entries != 1 || !has(s, 7, 0) {
		t.Errorf("%d steps, removed %d, %d entries, the new one is there: %v", steps, f.Removed, s.Stats().Entries, has(s, 7, 0))
	}
	checkInvariants(t, s)
}

func TestFlushesAreBounded(t *testing.T) {
	s := newShard(t, BytesMin)
	for range FlushesMax {
		if !s.Begin(new(Flush)) {
			t.Fatal("refused")
		}
	}
	if s.Begin(new(Flush)) {
		t.Error("one flush too many was taken")
	}
	finish(t, s)
	if !s.Begin(new(Flush)) {
		t.Error("refused although all others are done")
	}
}

// TestFlushAgainstModel: random puts, sizes, steps and flushes; what was put before a flush of its name is never found after it, and what is
// found is the last answer put.
func TestFlushAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 7))
		limits := []int64{BytesMin, 3 << 20, 6 << 20}
		s := newShard(t, limits[0])
		model := map[int]modelEntry{}
		begun, hits := 0, 0
		for step := range 80_000 {
			i := int(rng.ExpFloat64() * 5000)
			key := testKey(i)
			hash := testHash(key)
			switch op := rng.IntN(1000); {
			case op < 400:
				a := testAnswer(step, 16+rng.IntN(300))
				if !s.Put(hash, key, a, 1000, 1) {
					t.Fatal("not stored")
				}
				model[i] = modelEntry{a, 1000, 1}
			case op < 900:
				hits += checkGet(t, s, hash, key, 1, model, i)
			case op < 980:
				s.Tend()
			case op < 995:
				m := Match{Name: wire.KeyName(key), Below: op&1 == 0}
				if op > 992 {
					m = Match{}
				}
				if !s.Begin(&Flush{Match: m}) {
					break
				}
				begun++
				for j := range model {
					if m.Matches(testKey(j)) {
						delete(model, j)
					}
				}
			case op == 999:
				if err := s.SetLimit(limits[rng.IntN(len(limits))]); err != nil {
					t.Fatal(err)
				}
			}
			if step%4000 == 0 {
				checkInvariants(t, s)
			}
		}
		finish(t, s)
		checkInvariants(t, s)
		if begun < 100 || hits < 1000 {
			t.Errorf("%d flushes, %d hits: this tests too little", begun, hits)
		}
	}
}

// TestWalkShowsAll: every entry once, whatever the step, and the same again when it was not taken.
func TestWalkShowsAll(t *testing.T) {
	s := newShard(t, 8<<20)
	const entries = 20_000
	for i := range entries {
		put(s, i, 60, forever, 5)
	}
	for _, limit := range []int{1, 100, 1 << 20} {
		var c Cursor
		seen, refused := map[string]bool{}, 0
		for more := true; more; {
			calls := 0
			more = s.Walk(&c, limit, nil, func(e *Seen) bool {
				if calls++; calls > limit {
					t.Fatalf("%d entries in a step, want %d at most", calls, limit)
				}
				if refused++; refused%3 == 0 {
					return false
				}
				if seen[string(e.Key)] || e.Stored != 5 || e.Expire != forever+5 || testHash(e.Key) != e.Hash || len(e.Answer.Records) != 60 {
					t.Fatalf("%q: seen before %v, %+v", e.Key, seen[string(e.Key)], e)
				}
				seen[string(e.Key)] = true
				return true
			})
		}
		if len(seen) != entries {
			t.Errorf("limit %d: %d entries seen, want %d", limit, len(seen), entries)
		}
	}
}

// TestWalkBesideChanges: a cursor survives everything that happens to the shard.
func TestWalkBesideChanges(t *testing.T) {
	s := newShard(t, 4<<20)
	rng := rand.New(rand.NewPCG(3, 3))
	var c Cursor
	next := 0
	for step := range 6000 {
		for range 20 {
			put(s, next, 20+rng.IntN(600), forever, 0)
			next++
		}
		if !s.Walk(&c, 50, nil, func(e *Seen) bool {
			if testHash(e.Key) != e.Hash {
				t.Fatalf("step %d: the cursor reads what is no entry", step)
			}
			return rng.IntN(10) != 0
		}) {
			c = Cursor{}
		}
		switch rng.IntN(300) {
		case 0:
			s.Flush()
		case 1:
			if err := s.SetLimit(BytesMin + rng.Int64N(6<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkFlush is a step of a flush of a suffix, over a million entries of which none is meant, and Get meanwhile.
func BenchmarkFlush(b *testing.B) {
	s := newShard(b, 160<<20)
	for i := range 1_000_000 {
		put(s, i, 44, forever, 0)
	}
	if n := s.Stats().Entries; n < 900_000 {
		b.Fatalf("only %d entries", n)
	}
	m := Match{Name: []byte("\x05other\x00"), Below: true}
	b.Run("Tend", func(b *testing.B) {
		for b.Loop() {
			if len(s.flushes) == 0 {
				s.Begin(&Flush{Match: m})
			}
			s.Tend()
		}
	})
	for s.Tend() {
	}
	for _, name := range []string{"GetBefore", "GetMeanwhile"} {
		b.Run(name, func(b *testing.B) {
			if name == "GetMeanwhile" {
				s.Begin(&Flush{Match: m})
			}
			var a wire.Answer
			i := 0
			for b.Loop() {
				i = (i + 7919) % 900_000
				key := testKey(i)
				s.Get(testHash(key), key, 1, &a)
			}
		})
	}
}
