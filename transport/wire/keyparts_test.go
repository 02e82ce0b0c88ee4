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

// TestPartitions: a key of a partition is another key; its parts, and what is made of it, are those of the key without.
func TestPartitions(t *testing.T) {
	m := new(dns.Msg).SetQuestion("www.Example.", dns.TypeAAAA)
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q Query
	if f := ParseQuery(msg, &q); f != FaultNone {
		t.Fatal(f)
	}
	var space, other, derived [KeyBytesMax]byte
	bare := q.Key(&other)
	key := AppendPartition(q.Key(&space), 0)
	if string(key) != string(bare) || KeyPartition(key) != 0 {
		t.Fatalf("partition 0: %x", key)
	}
	for _, variant := range []func([]byte) []byte{
		func(key []byte) []byte { return key },
		AppendUnsent,
		func(key []byte) []byte { return AppendSubnet(key, &Subnet{Family: FamilyIPv4, Bits: 24}) },
		func(key []byte) []byte { return AppendOptions(key, []byte{0, 5, 0, 1, 5}) },
	} {
		bare, key := variant(q.Key(&other)), variant(AppendPartition(q.Key(&space), KeyPartitionsMax-1))
		MoveKey(key, 3)
		if KeyPartition(bare) != 0 || KeyPartition(key) != KeyPartitionsMax-1 || !ValidKey(key) {
			t.Errorf("%x: partition %d, %x: partition %d, valid %t", bare, KeyPartition(bare), key, KeyPartition(key), ValidKey(key))
		}
		if string(KeyName(key)) != string(KeyName(bare)) || string(KeyQuestion(key)) != string(KeyQuestion(bare)) || string(KeyVariant(key)) != string(KeyVariant(bare)) ||
			KeyType(key) != dns.TypeAAAA || KeyFlags(key) != KeyFlags(bare) || KeyPool(key) != 3 || len(KeyPlain(key)) != len(KeyPlain(bare))+2 {
			t.Errorf("%x has other parts than %x", key, bare)
		}
		if MovePartition(key, 9); KeyPartition(key) != 9 || KeyPartition(KeyPlain(key)) != 9 || KeyPartition(DeriveKey(&derived, key, []byte{1, 'a', 0}, 1)) != 9 {
			t.Errorf("moved: %x", key)
		}
		var a, b [512]byte
		if x, y := BuildQuery(a[:], 1, bare, 1232), BuildQuery(b[:], 1, key, 1232); string(a[:x]) != string(b[:y]) {
			t.Errorf("asked: %x, with a partition %x", a[:x], b[:y])
		}
	}
	if MovePartition(bare, 9); KeyPartition(bare) != 0 {
		t.Error("a key without a partition has got one")
	}
	for _, broken := range [][]byte{append(q.Key(&other), keyPartition), append(q.Key(&other), keyPartition, 0)} {
		if ValidKey(broken) {
			t.Errorf("%x is valid", broken)
		}
	}
}
