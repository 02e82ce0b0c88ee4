package cache

import (
	"math/rand/v2"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// modelEntry is what a naive map holds of an entry.
type modelEntry struct {
	answer      *wire.Answer
	ttl, stored uint32
}

// TestAgainstModel runs random operations on a shard and on a map without limit. The shard may forget, but what it returns must be the
// last answer put under that key, with the right age and state, and it must stay within its limit and consistent.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 0))
		limits := []int64{BytesMin, BytesMin * 3 / 2, 4 << 20}
		s := newShard(t, limits[seed%3])
		model := map[int]modelEntry{}
		var now uint32
		var hits int
		for step := range 60000 {
			i := int(rng.ExpFloat64() * 6000)
			key := testKey(i)
			hash := testHash(key)
			switch op := rng.IntN(1000); {
			case op < 450:
				size := 16 + rng.IntN(300)
				if op < 10 {
					size = rng.IntN(65000)
				}
				a, ttl := testAnswer(step, size), 1+rng.Uint32N(2000)
				if !s.Put(hash, key, a, ttl, now) {
					t.Fatalf("seed %d step %d: Put = false", seed, step)
				}
				model[i] = modelEntry{a, ttl, now}
				if _, state := s.Get(hash, key, now, new(wire.Answer)); state != Fresh {
					t.Fatalf("seed %d step %d: %v right after Put", seed, step, state)
				}
			case op < 950:
				hits += checkGet(t, s, hash, key, now, model, i)
			case op < 970:
				_, known := model[i]
				if s.Delete(hash, key) && !known {
					t.Fatalf("seed %d step %d: deleted what was never put", seed, step)
				}
				delete(model, i)
			case op < 998:
				now += rng.Uint32N(5)
				if op&1 == 0 {
					s.Tend()
				}
			case op == 998:
				if err := s.SetLimit(limits[rng.IntN(len(limits))]); err != nil {
					t.Fatal(err)
				}
				checkInvariants(t, s)
			case rng.IntN(30) == 0:
				s.Flush()
				clear(model)
			}
			if step%5000 == 0 {
				checkInvariants(t, s)
			}
			if st := s.Stats(); st.Bytes > st.Limit {
				t.Fatalf("seed %d step %d: %d bytes, limit %d", seed, step, st.Bytes, st.Limit)
			}
		}
		checkInvariants(t, s)
		if st := s.Stats(); hits < 3000 || st.Evictions < 100 || st.Expired < 100 {
			t.Errorf("seed %d: %d hits, %+v: this tests too little", seed, hits, st)
		}
	}
}

func checkGet(t *testing.T, s *Shard, hash uint64, key []byte, now uint32, model map[int]modelEntry, i int) int {
	t.Helper()
	var a wire.Answer
	age, state := s.Get(hash, key, now, &a)
	if state == Miss {
		return 0
	}
	want, known := model[i]
	if !known {
		t.Fatalf("key %d: %v, but it was never put, or deleted", i, state)
	}
	if err := sameAnswer(&a, want.answer, want.ttl); err != nil {
		t.Fatalf("key %d: %v", i, err)
	}
	wantState := Fresh
	if now-want.stored >= want.ttl {
		wantState = Expired
	}
	if age != now-want.stored || state != wantState {
		t.Fatalf("key %d: age %d, %v, want %d, %v", i, age, state, now-want.stored, wantState)
	}
	return 1
}
