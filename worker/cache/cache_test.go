package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// testKey is the key of name number i: "nXXXXXXXX.example.com" A IN, as a query with RD makes it.
func testKey(i int) []byte {
	key := []byte("\x09n00000000\x07example\x03com\x00\x00\x01\x00\x01\x04")
	for at := 9; i > 0; at, i = at-1, i>>4 {
		key[at] = "0123456789abcdef"[i&15]
	}
	return key
}

// testHash stands in for wire.Hash, whose seed differs from process to process: tests repeat exactly. FNV-1a and a mixer.
func testHash(key []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range key {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

// testAnswer is an answer of size bytes of records, whose content depends on i, with a TTL offset every 28 bytes, as AAAA records have.
func testAnswer(i, size int) *wire.Answer {
	a := &wire.Answer{Flags: 0x8180, AN: uint16(i), NS: 2, AR: 3, Records: make([]byte, size)}
	for n := 0; n+8 <= size; n += 8 {
		binary.LittleEndian.PutUint64(a.Records[n:], uint64(i)*0x9E3779B97F4A7C15+uint64(n))
	}
	for off := 6; off+4 <= size && len(a.TTLs) < ttlsMax; off += 28 {
		a.TTLs = append(a.TTLs, uint16(off))
	}
	a.Negative = i%3 == 0
	return a
}

func newShard(t testing.TB, limit int64) *Shard {
	t.Helper()
	s, err := New(Config{Bytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(s *Shard, i, size int, ttl, now uint32) bool {
	key := testKey(i)
	return s.Put(testHash(key), key, testAnswer(i, size), ttl, now)
}

func has(s *Shard, i int, now uint32) bool {
	key := testKey(i)
	var a wire.Answer
	_, state := s.Get(testHash(key), key, now, &a)
	return state == Fresh
}

func sameAnswer(got, want *wire.Answer, ttl uint32) error {
	switch {
	case !bytes.Equal(got.Records, want.Records):
		return fmt.Errorf("records differ: %d bytes, want %d", len(got.Records), len(want.Records))
	case !slices.Equal(got.TTLs, want.TTLs):
		return fmt.Errorf("TTL offsets = %v, want %v", got.TTLs, want.TTLs)
	case got.Flags != want.Flags || got.AN != want.AN || got.NS != want.NS || got.AR != want.AR ||
		got.Negative != want.Negative || got.Extended != want.Extended || got.RCode != want.RCode || got.TTL != ttl:
		return fmt.Errorf("got %+v, want %+v with TTL %d", *got, *want, ttl)
	}
	return nil
}

// checkInvariants walks everything: lists, chunks and index must agree, and the shard stay within its limit.
func checkInvariants(t testing.TB, s *Shard) {
	t.Helper()
	live := uint64(0)
	lists := map[uint32]chunkState{}
	walk := func(l *chunkList, state chunkState, share uint8) {
		n := 0
		for id := l.back; id != nowhere; id = s.chunks[id].next {
			lists[id] = state
			if n++; s.chunks[id].share != share {
				t.Fatalf("chunk %d of share %d says that it is of share %d", id, share, s.chunks[id].share)
			}
		}
		if n != l.chunks {
			t.Fatalf("list %d has %d chunks, counts %d", state, n, l.chunks)
		}
	}
	walk(&s.free, chunkFree, 0)
	most := 0
	for i := range s.shares {
		sh := &s.shares[i]
		walk(&sh.probation, chunkProbation, uint8(i))
		walk(&sh.main, chunkMain, uint8(i))
		used := sh.probation.chunks + sh.main.chunks
		if sh.victim.id != nowhere {
			lists[sh.victim.id] = chunkVictim
			used++
		}
		if most += sh.most; used != sh.used {
			t.Fatalf("share %d has %d chunks, counts %d", i, used, sh.used)
		}
	}
	if most != len(s.chunks) {
		t.Fatalf("shares may have %d chunks, of %d", most, len(s.chunks))
	}
	if len(lists) != len(s.chunks) {
		t.Fatalf("%d chunks in lists, %d in all", len(lists), len(s.chunks))
	}
	for id := range s.chunks {
		c := &s.chunks[id]
		if c.state != lists[uint32(id)] {
			t.Fatalf("chunk %d: state %d, in list %d", id, c.state, lists[uint32(id)])
		}
		if c.state == chunkFree {
			continue
		}
		var sums [expiryClasses]uint32
		for off := 0; off < int(c.used); {
			e := entryAt(c.mem, off)
			if e.bits&bitsDead == 0 {
				live++
				sums[c.class(e.expire)] += uint32(e.bytes())
				ref := uint32(id)<<chunkBits | uint32(off/unitBytes)
				_, fresh := s.index.findRef(e.hash, ref)
				old := false
				if s.old.mem != nil {
					_, old = s.old.findRef(e.hash, ref)
				}
				if fresh == old {
					t.Fatalf("chunk %d: live entry at %d is in the new index %v, in the old one %v", id, off, fresh, old)
				}
			}
			off += e.bytes()
		}
		if sums != c.live {
			t.Fatalf("chunk %d: live bytes %v, counted %v", id, sums, c.live)
		}
	}
	indexed := uint64(0)
	for _, x := range []*index{&s.index, &s.old} {
		for i := range x.buckets {
			for slot := range bucketSlots {
				if x.buckets[i].tags[slot>>2]>>(slot&3*16)&0xFFFF != 0 {
					indexed++
				}
			}
		}
	}
	st := s.Stats()
	if indexed != live || st.Entries != live {
		t.Fatalf("%d live entries, %d in the index, %d counted", live, indexed, st.Entries)
	}
	if st.Bytes > st.Limit {
		t.Fatalf("%d bytes in use, limit %d", st.Bytes, st.Limit)
	}
}

func TestLimitRange(t *testing.T) {
	for _, bytes := range []int64{-1, 0, BytesMin - 1, BytesMax + 1} {
		if s, err := New(Config{Bytes: bytes}); err == nil {
			t.Errorf("New(%d) = %v, want an error", bytes, s.Close())
		}
	}
	s := newShard(t, BytesMin)
	if err := s.SetLimit(BytesMin - 1); err == nil {
		t.Error("SetLimit(BytesMin-1) gave no error")
	}
	if got := s.Stats().Limit; got != BytesMin {
		t.Errorf("limit after a refused change = %d, want %d", got, int64(BytesMin))
	}
}

func TestCloseTwice(t *testing.T) {
	s, err := New(Config{Bytes: BytesMin})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGet(t *testing.T) {
	s := newShard(t, BytesMin)
	key := testKey(1)
	hash := testHash(key)
	want := testAnswer(1, 100)
	if !s.Put(hash, key, want, 60, 1000) {
		t.Fatal("Put = false")
	}
	tests := []struct {
		now   uint32
		age   uint32
		state State
	}{
		{1000, 0, Fresh},
		{1001, 1, Fresh},
		{1059, 59, Fresh},
		{1060, 60, Expired},
		{9000, 8000, Expired},
		{999, 0, Fresh}, // a clock that went back must not make it old
	}
	for _, tt := range tests {
		var a wire.Answer
		age, state := s.Get(hash, key, tt.now, &a)
		if age != tt.age || state != tt.state {
			t.Errorf("Get at %d = %d, %v, want %d, %v", tt.now, age, state, tt.age, tt.state)
		}
		if err := sameAnswer(&a, want, 60); err != nil {
			t.Errorf("Get at %d: %v", tt.now, err)
		}
	}
	for name, other := range map[string][]byte{
		"other name": testKey(2), "other flags": append(bytes.Clone(key[:len(key)-1]), 0),
		"prefix": key[:len(key)-1],
	} {
		var a wire.Answer
		if _, state := s.Get(hash, other, 1000, &a); state != Miss { // same hash on purpose: the key decides
			t.Errorf("%s: %v, want a miss", name, state)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	s := newShard(t, BytesMin)
	good := testKey(1)
	extended := testAnswer(1, 16)
	extended.RCode = 16
	tests := []struct {
		name string
		key  []byte
		a    *wire.Answer
		ttl  uint32
	}{
		{"TTL 0", good, testAnswer(1, 16), 0},
		{"rcode above 15", good, extended, 60},
		{"short key", good[:5], testAnswer(1, 16), 60},
		{"long key", make([]byte, wire.KeyBytesMax+1), testAnswer(1, 16), 60},
		{"more than a message", good, &wire.Answer{Records: make([]byte, wire.MessageBytesMax+1)}, 60},
		{"more TTLs than a message has", good, &wire.Answer{TTLs: make([]uint16, ttlsMax+1)}, 60},
	}
	for _, tt := range tests {
		if s.Put(testHash(tt.key), tt.key, tt.a, tt.ttl, 0) {
			t.Errorf("%s: Put = true", tt.name)
		}
	}
	if got := s.Stats(); got.Refused != uint64(len(tests)) || got.Entries != 0 {
		t.Errorf("Stats = %+v, want %d refused and nothing stored", got, len(tests))
	}
}

// TestSizes stores answers from nothing to a whole message, each in the place of the one before, and back.
func TestSizes(t *testing.T) {
	s := newShard(t, BytesMin)
	key := testKey(1)
	sizes := []int{0, 1, 7, 16, 100, 512, 4096, 65000, wire.MessageBytesMax, 4096, 100, 98, 90, 0}
	for i, size := range sizes {
		want := testAnswer(i, size)
		if !s.Put(testHash(key), key, want, 60, uint32(i)) {
			t.Fatalf("size %d: Put = false", size)
		}
		var a wire.Answer
		if _, state := s.Get(testHash(key), key, uint32(i), &a); state != Fresh {
			t.Fatalf("size %d: %v", size, state)
		}
		if err := sameAnswer(&a, want, 60); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		checkInvariants(t, s)
	}
	if got := s.Stats(); got.Entries != 1 || got.Inserts != 1 || got.Replaced != uint64(len(sizes)-1) {
		t.Errorf("Stats = %+v, want one entry, replaced %d times", got, len(sizes)-1)
	}
}

func TestLongTTLIsCut(t *testing.T) {
	s := newShard(t, BytesMin)
	put(s, 1, 16, 1<<32-1, 1<<31)
	if !has(s, 1, 1<<31+TTLMax-1) {
		t.Error("gone before TTLMax")
	}
	if has(s, 1, 1<<31+TTLMax) {
		t.Error("there after TTLMax")
	}
}

func TestDeleteAndFlush(t *testing.T) {
	s := newShard(t, BytesMin)
	for i := range 100 {
		put(s, i, 100, 60, 0)
	}
	key := testKey(7)
	if !s.Delete(testHash(key), key) || s.Delete(testHash(key), key) {
		t.Error("Delete: want true, then false")
	}
	if has(s, 7, 0) || !has(s, 8, 0) {
		t.Error("Delete took the wrong entry")
	}
	checkInvariants(t, s)
	empty := newShard(t, BytesMin).Stats().Bytes
	s.Flush()
	checkInvariants(t, s)
	if got := s.Stats(); got.Entries != 0 || got.Bytes != empty {
		t.Errorf("after Flush: %+v, want no entries and %d bytes", got, empty)
	}
	for i := range 100 {
		if has(s, i, 0) {
			t.Fatalf("entry %d survived Flush", i)
		}
	}
	for i := range s.chunks { // discarded memory reads as zeros
		if len(bytes.Trim(s.chunks[i].mem, "\x00")) > 0 {
			t.Fatalf("the memory of chunk %d was not given back", i)
		}
	}
	if !put(s, 7, 100, 60, 0) || !has(s, 7, 0) {
		t.Error("cannot be used after Flush")
	}
}

// TestPutAged: an answer that somebody else learned some time ago ends when it would have ended there.
func TestPutAged(t *testing.T) {
	s := newShard(t, BytesMin)
	key := testKey(1)
	hash := testHash(key)
	for _, age := range []uint32{100, 40} { // the second one takes the room of the first
		if !s.PutAged(hash, key, testAnswer(1, 50), 300, age, 1000) {
			t.Fatal("refused")
		}
		var a wire.Answer
		if got, state := s.Get(hash, key, 1010, &a); got != age+10 || state != Fresh || a.TTL != 300 {
			t.Errorf("age %d, %v, TTL %d", got, state, a.TTL)
		}
		if got, state := s.Get(hash, key, 1300-age, &a); got != 300 || state != Expired {
			t.Errorf("at its end: age %d, %v", got, state)
		}
	}
	s.PutAged(hash, key, testAnswer(1, 50), 300, 400, 1000)
	var a wire.Answer
	if _, state := s.Get(hash, key, 1000, &a); state != Expired {
		t.Errorf("put after its end: %v", state)
	}
	checkInvariants(t, s)
}
