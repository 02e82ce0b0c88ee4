package tier

import (
	"bytes"
	"strconv"
	"testing"
	"time"
)

func TestForget(t *testing.T) {
	s, now := new(Store), time.Now().UnixMilli()
	found := func(stored int64, pool string, key []byte) bool {
		id := appendID(nil, pool, key)
		return !s.forgotten.holds(AppendValue(nil, stored, 60, id, nil), id)
	}
	other := []byte("\x01b\x07example\x00\x00\x01\x00\x01\x04")
	if !found(now, "default", testKey) {
		t.Fatal("forgotten from the start")
	}
	s.Forget("corp", func(key []byte) bool { return bytes.Equal(key, testKey) })
	for what, c := range map[string]struct {
		stored int64
		pool   string
		key    []byte
		want   bool
	}{
		"stored before":  {now - 1000, "corp", testKey, false},
		"stored after":   {now + 3_600_000, "corp", testKey, true},
		"another pool":   {now - 1000, "default", testKey, true},
		"another key":    {now - 1000, "corp", other, true},
		"both different": {now - 1000, "default", other, true},
	} {
		if got := found(c.stored, c.pool, c.key); got != c.want {
			t.Errorf("%s: found %t, want %t", what, got, c.want)
		}
	}
	heir := new(Store)
	heir.Inherit(s)
	if id := appendID(nil, "corp", testKey); !heir.forgotten.holds(AppendValue(nil, now-1000, 60, id, nil), id) {
		t.Error("another store in its place remembers")
	}

	// What is too much to be kept apart forgets too much, never too little.
	for n := range 3 * forgetMax {
		s.Forget("pool-"+strconv.Itoa(n), func([]byte) bool { return true })
	}
	if n := len(s.forgotten.all()); n > forgetMax {
		t.Errorf("a list of %d, want at most %d", n, forgetMax)
	}
	if found(now-1000, "corp", testKey) || found(now-1000, "pool-0", testKey) || found(now-1000, "pool-"+strconv.Itoa(3*forgetMax-1), testKey) {
		t.Error("something that was forgotten is found")
	}
	s.Forget("", nil)
	if found(now-1, "default", other) {
		t.Error("everything was forgotten, and something is found")
	}
}
