package wire

import (
	"testing"

	"github.com/miekg/dns"
)

func TestKeyParts(t *testing.T) {
	m := new(dns.Msg).SetQuestion("www.Example.", dns.TypeAAAA)
	m.SetEdns0(1232, true)
	m.CheckingDisabled = true
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q Query
	if f := ParseQuery(msg, &q); f != FaultNone {
		t.Fatal(f)
	}
	var space [KeyBytesMax]byte
	key := q.Key(&space)
	SetKeyPool(key, 5)
	if KeyType(key) != dns.TypeAAAA || KeyPool(key) != 5 || KeyFlags(key) != KeyDO|KeyCD|KeyRD {
		t.Errorf("type %d, pool %d, flags %x", KeyType(key), KeyPool(key), KeyFlags(key))
	}
	MoveKey(key, 2)
	if KeyPool(key) != 2 || KeyFlags(key) != KeyDO|KeyCD|KeyRD || string(KeyName(key)) != "\x03www\x07example\x00" {
		t.Errorf("moved: pool %d, flags %x, name %q", KeyPool(key), KeyFlags(key), KeyName(key))
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		name, suffix string
		want         bool
	}{
		{"example.", "example.", true},
		{"a.b.example.", "example.", true},
		{"example.", "a.example.", false},
		{"xexample.", "example.", false},
		{"a.", ".", true},
		{".", ".", true},
		{".", "a.", false},
		{"a.example.com.", "example.", false},
	} {
		if got := Below(wireName(t, c.name), wireName(t, c.suffix)); got != c.want {
			t.Errorf("%s below %s: %v, want %v", c.name, c.suffix, got, c.want)
		}
	}
	if Below([]byte{9, 'a'}, []byte{0}) {
		t.Error("what is no name is below the root")
	}
}
