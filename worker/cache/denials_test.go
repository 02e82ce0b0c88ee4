package cache

import "testing"

func TestDenials(t *testing.T) {
	d, err := NewDenials()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	find := func(hash uint64, now uint32) uint16 {
		qtype, _ := d.Find(hash, now)
		return qtype
	}
	d.Add(7, 28, 3, 100, 160)
	if find(7, 159) != 28 || find(7, 160) != 0 || find(8, 100) != 0 {
		t.Error("not as it was told")
	}
	d.Add(7, 1, 3, 159, 200)
	if find(7, 160) != 1 {
		t.Error("a later answer does not take the place of the first")
	}
	// Names in one set, one more than there is room for: the longest gives way, or is not taken in.
	for i := range uint64(denialWays) {
		d.Add(7+(i+1)*denialSets, 1, 5+int(i), 100, 1000)
	}
	if find(7, 110) != 1 || find(7+denialWays*denialSets, 110) != 0 || find(7+denialSets, 110) != 1 {
		t.Error("the wrong one made room")
	}
	d.Add(7+9*denialSets, 1, 2, 100, 1000)
	if find(7+9*denialSets, 110) != 1 || find(7+(denialWays-1)*denialSets, 110) != 0 {
		t.Error("a name with few labels found no room")
	}
	d.Add(7+10*denialSets, 1, 100, 300, 1000) // 7 has ended
	if find(7+10*denialSets, 310) != 1 {
		t.Error("what has ended makes no room")
	}
	if n := testing.AllocsPerRun(100, func() { d.Add(9, 1, 1, 1, 2); d.Find(9, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
