package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// keyOf is the key i of a pool, or of a partition.
func keyOf(i int, pool, partition uint8) []byte {
	key := append([]byte(nil), testKey(i)...)
	wire.SetKeyPool(key, pool)
	return wire.AppendPartition(key, partition)
}

func (s *Shard) has(i int, pool, partition uint8) bool {
	var a wire.Answer
	key := keyOf(i, pool, partition)
	_, state := s.Get(testHash(key), key, 0, &a)
	return state == Fresh
}

func (s *Shard) learn(i int, pool, partition uint8, a *wire.Answer) {
	key := keyOf(i, pool, partition)
	s.Put(testHash(key), key, a, forever, 0)
}

func divide(t testing.TB, s *Shard, list ...Share) {
	t.Helper()
	if err := s.Divide(list); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
}

// TestFloodStaysInItsShare: a pool that is flooded, with names that are asked once or again and again, drives nothing out of what others have: neither what was asked
// for again nor what was not. Without shares it does.
func TestFloodStaysInItsShare(t *testing.T) {
	const limit, own, theirs = 16 << 20, 4 << 20, 20_000
	for name, shares := range map[string][]Share{
		"of the flood": {{Pool: 1, Bytes: own}}, "of the victims": {{Pool: 2, Bytes: 8 << 20}, {Partition: 9, Bytes: own}},
		"of both": {{Pool: 1, Bytes: own}, {Pool: 2, Bytes: 5 << 20}, {Partition: 9, Bytes: own}}, "none": nil,
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/", again), func(t *testing.T) {
				s := newShard(t, limit)
				divide(t, s, shares...)
				a := testAnswer(1, 60)
				for i := range theirs {
					s.learn(i, 2, 0, a)
					s.learn(i, 2, 9, a)
				}
				for i := range 400_000 {
					if s.learn(i, 1, 0, a); again {
						s.has(i, 1, 0)
					}
					if i%50_000 == 0 {
						checkInvariants(t, s)
					}
				}
				left := 0
				for i := range theirs {
					for _, partition := range []uint8{0, 9} {
						if s.has(i, 2, partition) {
							left++
						}
					}
				}
				if st := s.Stats(); st.Bytes > limit {
					t.Errorf("%d bytes, limit %d", st.Bytes, limit)
				}
				for i, sh := range shares {
					if got := s.ShareBytes(i); got > sh.Bytes {
						t.Errorf("share %d has %d bytes of %d", i, got, sh.Bytes)
					}
				}
				switch {
				case shares == nil && left > theirs:
					t.Errorf("%d of %d are left without shares: the flood is none", left, 2*theirs)
				case shares != nil && left < 2*theirs*99/100:
					t.Errorf("%d of %d are left", left, 2*theirs)
				}
			})
		}
	}
}

// TestDivideAnew: shares come, change and go while there is traffic; whatever the order, the shard stays whole and within its limit, and what a pool had is still there
// when its share comes or goes.
func TestDivideAnew(t *testing.T) {
	const limit = 16 << 20
	s := newShard(t, limit)
	a, rng := testAnswer(1, 60), rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		s.learn(i, 3, 0, a)
	}
	divide(t, s, Share{Pool: 3, Bytes: 4 << 20})
	for i := range 1000 {
		s.learn(i, 3, 0, a)
	}
	divide(t, s)
	for i := range 1000 {
		if !s.has(i, 3, 0) {
			t.Fatal("a share that came and went has cost answers")
		}
	}
	for round := range 60 {
		var list []Share
		for pool := range uint8(4) {
			if rng.IntN(2) == 0 {
				list = append(list, Share{Pool: pool, Bytes: ShareBytesMin + rng.Int64N(1<<20)})
			}
		}
		if rng.IntN(2) == 0 {
			list = append(list, Share{Partition: 1 + uint8(rng.IntN(3)), Bytes: ShareBytesMin})
		}
		divide(t, s, list...)
		for range 6000 {
			s.learn(rng.IntN(50_000), uint8(rng.IntN(6)), uint8(rng.IntN(4)), a)
		}
		if round%7 == 3 {
			if err := s.SetLimit(limit/2 + rng.Int64N(limit)); err != nil {
				t.Fatal(err)
			}
		}
		if round == 40 {
			s.Flush()
		}
		checkInvariants(t, s)
	}
}

// TestSharesThatTakeOver: what a share is due, it gets from a rest that is full; then each has what it may.
func TestSharesThatTakeOver(t *testing.T) {
	const limit, own = 16 << 20, 6 << 20
	s, a := newShard(t, limit), testAnswer(1, 60)
	for i := range 200_000 {
		s.learn(i, 0, 0, a)
	}
	divide(t, s, Share{Pool: 1, Bytes: own})
	for i := range 200_000 {
		s.learn(i, 1, 0, a)
	}
	checkInvariants(t, s)
	if got := s.ShareBytes(0); got > own || got < own*3/4 {
		t.Errorf("the share has %d bytes of %d", got, own)
	}
	if rest := &s.shares[0]; rest.used > rest.most || rest.used < rest.most*3/4 {
		t.Errorf("the rest has %d chunks of %d", rest.used, rest.most)
	}
}

func TestDivideRefuses(t *testing.T) {
	s := newShard(t, 8<<20)
	divide(t, s, Share{Pool: 1, Bytes: ShareBytesMin})
	for name, list := range map[string][]Share{
		"too small": {{Pool: 1, Bytes: ShareBytesMin - 1}}, "nothing left": {{Pool: 1, Bytes: 4 << 20}, {Pool: 2, Bytes: 3 << 20}},
	} {
		if s.Divide(list) == nil {
			t.Errorf("%s: accepted", name)
		}
		if len(s.shares) != 2 || s.shares[1].of.Bytes != ShareBytesMin {
			t.Errorf("%s: it has changed something", name)
		}
	}
	if err := s.SetLimit(BytesMin); err != nil { // no room for the share and a rest
		t.Error(err)
	}
	checkInvariants(t, s)
	if len(s.shares) != 1 {
		t.Error("the share has not gone")
	}
}
