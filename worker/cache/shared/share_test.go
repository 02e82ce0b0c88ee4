package shared

import (
	"hash/maphash"
	"testing"

	"secure-dns-proxy/transport/wire"
)

var shareSeed = maphash.MakeSeed()

// keyIn is the key i of a pool, or of a partition.
func keyIn(i int, pool, partition uint8) []byte {
	key := append([]byte(nil), testKey(i)...)
	wire.SetKeyPool(key, pool)
	return wire.AppendPartition(key, partition)
}

// TestFloodStaysInItsShare: what a pool floods the table with drives nothing of others out, and neither does the rest; without shares it does. A change of shares keeps
// what there is.
func TestFloodStaysInItsShare(t *testing.T) {
	const theirs = 300
	shares := []Share{{Pool: 1, Bytes: BytesMin}, {Pool: 2, Bytes: BytesMin}, {Partition: 3, Bytes: BytesMin}}
	for _, list := range [][]Share{nil, shares, shares[:1], shares[1:]} {
		table, err := New(4*BytesMin, list)
		if err != nil {
			t.Fatal(err)
		}
		var c Copy
		put := func(i int, pool, partition uint8) {
			key := keyIn(i, pool, partition)
			table.Put(maphash.Bytes(shareSeed, key), key, testAnswer(i, 1, 60), 1000, 0, &c)
		}
		left := func(of *Table) (n int) {
			for i := range theirs {
				for _, key := range [][]byte{keyIn(i, 2, 0), keyIn(i, 0, 3)} {
					if _, state := of.Get(maphash.Bytes(shareSeed, key), key, 0, &c); state == Fresh {
						n++
					}
				}
			}
			return n
		}
		for i := range theirs {
			put(i, 2, 0)
			put(i, 0, 3)
		}
		for i := range 60_000 {
			put(i, 1, 0)
		}
		switch n := left(table); {
		case list == nil && n > theirs:
			t.Errorf("%d of %d are left without shares: the flood is none", n, 2*theirs)
		case list != nil && n < 2*theirs*98/100:
			t.Errorf("%d shares: %d of %d are left", len(list), n, 2*theirs)
		}
		if !table.Is(4*BytesMin, list) || table.Is(4*BytesMin, append(list[:len(list):len(list)], Share{Pool: 9})) || table.Is(BytesMin, list) {
			t.Errorf("%d shares: takes itself for another table", len(list))
		}
		other, err := New(5*BytesMin, shares)
		if err != nil {
			t.Fatal(err)
		}
		before := left(table)
		if table.CopyTo(other, 0); list != nil && left(other) < before*98/100 {
			t.Errorf("%d shares: %d of %d come over", len(list), left(other), before)
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(3*BytesMin, shares); err == nil {
		t.Error("shares that leave nothing were accepted")
	}
	if _, err := New(8*BytesMin, []Share{{Bytes: BytesMin - 1}}); err == nil {
		t.Error("a share that is too small was accepted")
	}
}
