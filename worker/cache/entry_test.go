package cache

import (
	"bytes"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// TestEveryKeyLength: keys of every length are told apart and given back whole, variants and all; and so is an extended error, beside
// an answer without one of the same size and in its place.
func TestEveryKeyLength(t *testing.T) {
	s := newShard(t, 4*BytesMin)
	answerOf := func(n int) *wire.Answer {
		a := testAnswer(n, n%97)
		a.Extended = uint16(n % 3 * 7) // one in three has none
		return a
	}
	keyOf := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	for round := range 2 {
		for n := keyBytesMin; n <= wire.KeyBytesMax; n++ {
			if !s.Put(7, keyOf(n), answerOf(n+round), 60, 0) { // one hash for all: the keys decide
				t.Fatalf("key of %d bytes: Put = false", n)
			}
			var a wire.Answer
			if _, state := s.Get(7, keyOf(n), 0, &a); state != Fresh {
				t.Fatalf("key of %d bytes: %v", n, state)
			}
			if err := sameAnswer(&a, answerOf(n+round), 60); err != nil {
				t.Fatalf("key of %d bytes: %v", n, err)
			}
		}
	}
}
