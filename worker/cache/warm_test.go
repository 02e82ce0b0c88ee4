package cache

import (
	"testing"

	"secure-dns-proxy/transport/wire"
)

func TestWarmTouchesOnly(t *testing.T) {
	s, err := New(Config{Bytes: BytesMin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := []byte("\x01a\x07example\x00\x00\x01\x00\x01\x04")
	const hash = 0x0123456789abcdef
	hashes := []uint64{hash}
	if got := s.Warm(hashes); got != 0 {
		t.Errorf("an empty shard gave %x", got)
	}
	if !s.Put(hash, key, &wire.Answer{Records: make([]byte, 20), TTL: 60}, 60, 1) {
		t.Fatal("not stored")
	}
	before := s.Stats()
	if got, want := s.Warm(hashes), s.index.first(hash).tags[0]+hash; got != want {
		t.Errorf("warmed %x, want the bucket's tags and the entry's hash, %x", got, want)
	}
	if after := s.Stats(); after != before {
		t.Errorf("stats changed: %+v, before %+v", after, before)
	}
	if n := testing.AllocsPerRun(100, func() { s.Warm(hashes) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
