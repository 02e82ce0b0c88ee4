package policy

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// bucket is a token bucket: full at first.
type bucket struct {
	tokens float64
	at     int64 // ns: when tokens was true; 0: never used
}

// over takes a token, and reports whether there was none.
func (b *bucket) over(r *Rate, now int64) bool {
	if b.at == 0 {
		b.tokens = r.Burst
	} else {
		b.tokens = min(r.Burst, b.tokens+float64(now-b.at)*r.PerSecond/1e9)
	}
	b.at = max(now, 1)
	if b.tokens < 1 {
		return true
	}
	b.tokens--
	return false
}

// source is one prefix of clients with its bucket. 16 bytes.
type source struct {
	key    uint64 // 0: free
	tokens float32
	at     uint32 // ms of the worker's clock
}

// sources holds the buckets of clients' prefixes: sourceWays places for each hash, so that it cannot grow.
type sources struct {
	table []source
	seed  maphash.Seed
}

func newSources(n int) *sources {
	return &sources{table: make([]source, n), seed: maphash.MakeSeed()}
}

// over takes a token of a's prefix, and reports whether there was none.
func (s *sources) over(r *Rate, a netip.Addr, now int64) bool {
	key := s.key(r, a)
	set := s.table[int(key)&(len(s.table)-1)&^(sourceWays-1):][:sourceWays]
	ms := uint32(now / 1e6)
	entry, most := &set[0], float32(-1)
	for i := range set {
		e := &set[i]
		if e.key == key {
			return e.take(r, ms)
		}
		if left := e.left(r, ms); left > most {
			entry, most = e, left
		}
	}
	*entry = source{key: key, tokens: float32(r.Burst), at: ms}
	return entry.take(r, ms)
}

// left is what the bucket holds now. A free place holds the most.
func (e *source) left(r *Rate, ms uint32) float32 {
	if e.key == 0 {
		return 2 * RateMax
	}
	return min(float32(r.Burst), e.tokens+float32(ms-e.at)*float32(r.PerSecond)/1e3)
}

func (e *source) take(r *Rate, ms uint32) bool {
	left := e.left(r, ms)
	if left > e.tokens || left == float32(r.Burst) { // else: what has come in is less than the grain of tokens; it gathers
		e.tokens, e.at = left, ms
	}
	if e.tokens < 1 {
		return true
	}
	e.tokens--
	return false
}

// key is the hash of a's prefix, never 0.
func (s *sources) key(r *Rate, a netip.Addr) uint64 {
	var b [17]byte
	if a = a.Unmap(); a.Is4() {
		four := a.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(four[:])&^(1<<(32-r.Bits4)-1))
		b[16] = 4
	} else {
		six := a.As16()
		copy(b[:16], six[:])
		whole := r.Bits6 / 8
		if whole < 16 {
			b[whole] &= 0xFF << (8 - r.Bits6%8)
			clear(b[min(whole+1, 16):16])
		}
		b[16] = 6
	}
	return maphash.Bytes(s.seed, b[:]) | 1
}
