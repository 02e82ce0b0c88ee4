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
	if got := s.WarmIndex(hash) | s.WarmEntry(hash); got != 0 {
		t.Errorf("an empty shard gave %x", got)
	}
	if !s.Put(hash, key, &wire.Answer{Records: make([]byte, 20), TTL: 60}, 60, 1) {
		t.Fatal("not stored")
	}
	before := s.Stats()
	if got := s.WarmEntry(hash); got != hash {
		t.Errorf("warmed %x, want the entry's hash %x", got, uint64(hash))
	}
	if s.WarmIndex(hash) == 0 {
		t.Error("the bucket is empty")
	}
	if after := s.Stats(); after != before {
		t.Errorf("stats changed: %+v, before %+v", after, before)
	}
	if n := testing.AllocsPerRun(100, func() { s.WarmIndex(hash); s.WarmEntry(hash) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
