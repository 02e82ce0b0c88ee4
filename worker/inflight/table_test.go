package inflight

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"secure-dns-proxy/transport/wire"
)

func newTable(t testing.TB, slots, waiters int) *Table {
	t.Helper()
	table, err := New(Config{Slots: slots, Waiters: waiters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

// mustOpen opens a slot for a key that stands for n.
func mustOpen(t testing.TB, table *Table, n int) uint32 {
	t.Helper()
	slot, ok := table.Open(uint64(n)*0x9E3779B97F4A7C15, fmt.Appendf(nil, "key%d", n))
	if !ok {
		t.Fatalf("open %d: table full", n)
	}
	return slot
}

func TestSizes(t *testing.T) {
	tests := []struct {
		name string
		got  uintptr
		max  uintptr
	}{
		{"Slot", unsafe.Sizeof(Slot{}), 616},
		{"Waiter", unsafe.Sizeof(Waiter{}), 168},
		{"indexEntry", unsafe.Sizeof(indexEntry{}), 8},
		{"wheelNode", unsafe.Sizeof(wheelNode{}), 16},
		{"Slot before Key", unsafe.Offsetof(Slot{}.Key), 224},
	}
	for _, tt := range tests {
		if tt.got > tt.max {
			t.Errorf("%s is %d bytes, want at most %d", tt.name, tt.got, tt.max)
		}
	}
}

func TestNewReportsAllProblems(t *testing.T) {
	tests := []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"0 slots", "0 waiters"}},
		{Config{Slots: SlotsMax + 1, Waiters: 1}, []string{"1048577 slots"}},
		{Config{Slots: 1, Waiters: WaitersMax + 1}, []string{"4194305 waiters"}},
		{Config{Slots: -1, Waiters: -1}, []string{"-1 slots", "-1 waiters"}},
	}
	for _, tt := range tests {
		table, err := New(tt.cfg)
		if err == nil {
			table.Close()
			t.Errorf("New(%+v) succeeded", tt.cfg)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New(%+v) = %q, want it to say %q", tt.cfg, err, want)
			}
		}
	}
}

func TestBiggestTableCostsOnlyAddressSpace(t *testing.T) {
	table := newTable(t, SlotsMax, WaitersMax)
	slot := mustOpen(t, table, 1)
	table.AddWaiter(slot, &Waiter{ID: 7})
	table.Schedule(slot, 1)
	if got := table.FirstWaiter(slot).ID; got != 7 {
		t.Errorf("waiter id = %d, want 7", got)
	}
}

func TestOpenGivesCleanSlot(t *testing.T) {
	table := newTable(t, 1, 4)
	slot := mustOpen(t, table, 1)
	s := table.At(slot)
	gen := s.Gen
	s.Started, s.Deadline, s.HedgeAt, s.Tried, s.Useless, s.Name = 1, 2, 3, [2]uint64{4, 4}, [2]uint64{5}, 6
	s.Attempts, s.Pool, s.Hedge, s.Again = 5, 6, 7, true
	s.Exchanges[3] = Exchange{SentAt: 1, Key: 2, Upstream: 3, Open: true, Late: true}
	table.AddWaiter(slot, &Waiter{})
	table.Schedule(slot, 5*TickNanos)
	table.Release(slot)

	long := bytes.Repeat([]byte{0xff}, wire.KeyBytesMax)
	slot, ok := table.Open(9, long)
	if !ok {
		t.Fatal("released slot is not free")
	}
	want := Slot{Hash: 9, Gen: gen + 2, KeyLen: wire.KeyBytesMax}
	copy(want.Key[:], long)
	for i := range want.Exchanges {
		want.Exchanges[i].Upstream = NoUpstream
	}
	if got := *table.At(slot); got != want {
		t.Errorf("reopened slot = %+v, want %+v", got, want)
	}
	if !bytes.Equal(table.At(slot).KeyBytes(), long) {
		t.Error("longest key not kept")
	}
	if got, ok := table.Expired(1000 * TickNanos); ok {
		t.Errorf("timer of the released slot fired: %d", got)
	}
}

func TestFullTable(t *testing.T) {
	table := newTable(t, 3, 1)
	for n := range 3 {
		mustOpen(t, table, n)
	}
	if slot, ok := table.Open(99, []byte("one more")); ok {
		t.Fatalf("a full table opened slot %d", slot)
	}
	slot, ok := table.Find(0x9E3779B97F4A7C15, []byte("key1"))
	if !ok {
		t.Fatal("key1 is gone after a refused Open")
	}
	table.Release(slot)
	if got := mustOpen(t, table, 3); got != slot {
		t.Errorf("opened slot %d, want the one that was released last, %d", got, slot)
	}
	if table.Len() != 3 {
		t.Errorf("Len = %d, want 3", table.Len())
	}
}

func TestWaiterLimits(t *testing.T) {
	t.Run("pool", func(t *testing.T) {
		table := newTable(t, 2, 3)
		a, b := mustOpen(t, table, 1), mustOpen(t, table, 2)
		for i, want := range []bool{true, true, true, false} {
			if got := table.AddWaiter(a, &Waiter{ID: uint16(i)}); got != want {
				t.Errorf("waiter %d: %v, want %v", i, got, want)
			}
		}
		if table.AddWaiter(b, &Waiter{}) {
			t.Error("an empty pool gave a waiter to another slot")
		}
		table.Release(a)
		if got := table.WaiterLen(); got != 0 {
			t.Errorf("WaiterLen after Release = %d, want 0", got)
		}
		for i := range 3 {
			if !table.AddWaiter(b, &Waiter{}) {
				t.Errorf("waiter %d was not given back", i)
			}
		}
	})
	t.Run("slot", func(t *testing.T) {
		table := newTable(t, 2, WaitersPerSlotMax+1)
		a, b := mustOpen(t, table, 1), mustOpen(t, table, 2)
		for i := range WaitersPerSlotMax {
			if !table.AddWaiter(a, &Waiter{}) {
				t.Fatalf("waiter %d refused", i)
			}
		}
		if table.AddWaiter(a, &Waiter{}) {
			t.Errorf("more than %d waiters in one slot", WaitersPerSlotMax)
		}
		if !table.AddWaiter(b, &Waiter{}) {
			t.Error("the last waiter of the pool is not there for another slot")
		}
	})
}

func TestWaitersComeInOrder(t *testing.T) {
	table := newTable(t, 1, 8)
	slot := mustOpen(t, table, 1)
	if table.FirstWaiter(slot) != nil {
		t.Error("a new slot has a waiter")
	}
	template := Waiter{At: 5, Conn: 7, Socket: 8, Flags: 9, Limit: 10, HasOPT: true, DO: true, TCP: true, Case: [32]byte{31: 1}}
	template.Path.NameLen = 16
	for id := range uint16(8) {
		template.ID = id
		table.AddWaiter(slot, &template)
	}
	id := uint16(0)
	for w := table.FirstWaiter(slot); w != nil; w = table.NextWaiter(w) {
		got, want := *w, template
		got.next, want.next, want.ID = 0, 0, id
		if got != want {
			t.Errorf("waiter %d = %+v, want %+v", id, got, want)
		}
		id++
	}
	if id != 8 || table.At(slot).WaiterCount != 8 {
		t.Errorf("walked %d waiters, count says %d, want 8", id, table.At(slot).WaiterCount)
	}
}

func TestLiveKnowsStale(t *testing.T) {
	table := newTable(t, 2, 1)
	slot := mustOpen(t, table, 1)
	gen := table.At(slot).Gen
	tests := []struct {
		name      string
		slot, gen uint32
		live      bool
	}{
		{"open", slot, gen, true},
		{"generation before", slot, gen - 1, false},
		{"generation after", slot, gen + 1, false},
		{"never used", 1, 0, false},
		{"beyond the table", 2, gen, false},
		{"far beyond the table", 1<<32 - 1, gen, false},
	}
	for _, tt := range tests {
		if got := table.Live(tt.slot, tt.gen) != nil; got != tt.live {
			t.Errorf("%s: live = %v, want %v", tt.name, got, tt.live)
		}
	}
	table.Release(slot)
	for _, g := range []uint32{gen, gen + 1} {
		if table.Live(slot, g) != nil {
			t.Errorf("released slot is live as generation %d", g)
		}
	}
	if again := mustOpen(t, table, 2); again != slot || table.Live(slot, gen) != nil {
		t.Error("a slot in use again is live as its former generation")
	}
}

func TestGenerationWrapsWithoutZero(t *testing.T) {
	table := newTable(t, 1, 1)
	slot := mustOpen(t, table, 1)
	table.Release(slot)
	table.slots[slot].Gen = 1<<32 - 2
	slot = mustOpen(t, table, 1)
	if got := table.At(slot).Gen; got != 1<<32-1 {
		t.Fatalf("generation = %d, want the last", got)
	}
	table.Release(slot)
	slot = mustOpen(t, table, 1)
	if got := table.At(slot).Gen; got != 1 || table.Live(slot, 1) == nil {
		t.Errorf("generation after the wrap = %d, want 1 and live", got)
	}
}

func TestMisusePanics(t *testing.T) {
	tests := []struct {
		name string
		do   func(table *Table, slot uint32)
	}{
		{"release twice", func(table *Table, slot uint32) { table.Release(slot); table.Release(slot) }},
		{"release before use", func(table *Table, _ uint32) { table.Release(1) }},
		{"timer of a free slot", func(table *Table, _ uint32) { table.Schedule(1, 1) }},
		{"same key twice", func(table *Table, _ uint32) { table.Open(5, []byte("k")) }},
		{"empty key", func(table *Table, _ uint32) { table.Open(6, nil) }},
		{"key too long", func(table *Table, _ uint32) { table.Open(6, make([]byte, wire.KeyBytesMax+1)) }},
		{"slot beyond the table", func(table *Table, _ uint32) { table.At(2) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 2, 1)
			slot, _ := table.Open(5, []byte("k"))
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.do(table, slot)
		})
	}
}

// TestZeroAlloc holds the package's promise, one row per method. Not parallel: AllocsPerRun counts the whole program.
func TestZeroAlloc(t *testing.T) {
	table := newTable(t, 64, 64)
	key, other := []byte("a key"), []byte("another")
	fixed, _ := table.Open(1, key)
	table.AddWaiter(fixed, &Waiter{ID: 1})
	w := Waiter{ID: 2}
	var now int64
	tests := []struct {
		name string
		do   func()
	}{
		{"Find hit", func() { table.Find(1, key) }},
		{"Find miss", func() { table.Find(2, key) }},
		{"At, Live", func() { _ = table.Live(fixed, table.At(fixed).Gen) }},
		{"waiter walk", func() { _ = table.NextWaiter(table.FirstWaiter(fixed)) }},
		{"Schedule, NextTimer, Expired", func() {
			now += 3 * TickNanos
			table.Schedule(fixed, now)
			table.NextTimer(now)
			table.Expired(now)
		}},
		{"Open, AddWaiter, Schedule, Release", func() {
			slot, _ := table.Open(3, other)
			table.AddWaiter(slot, &w)
			table.Schedule(slot, now+TickNanos)
			table.Release(slot)
		}},
		{"Len, WaiterLen", func() { _ = table.Len() + table.WaiterLen() }},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(100, tt.do); got != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, got)
		}
	}
}

// TestDropWaiters: a slot goes on without its clients, and can have new ones.
func TestDropWaiters(t *testing.T) {
	table, err := New(Config{Slots: 2, Waiters: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	slot, _ := table.Open(1, []byte("key"))
	for range 2 {
		for i := range 3 {
			if !table.AddWaiter(slot, &Waiter{ID: uint16(i)}) {
				t.Fatalf("no room for waiter %d", i)
			}
		}
		table.DropWaiters(slot)
		if table.WaiterLen() != 0 || table.FirstWaiter(slot) != nil || table.At(slot).WaiterCount != 0 {
			t.Fatal("waiters are left")
		}
	}
	if found, ok := table.Find(1, []byte("key")); !ok || found != slot {
		t.Error("the slot is gone")
	}
	table.Release(slot)
}
