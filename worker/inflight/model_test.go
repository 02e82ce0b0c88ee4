package inflight

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is the table as one would write it without a thought for cost: maps, and every timer looked at every time.
type model struct {
	byKey  map[string]uint32
	slots  map[uint32]*modelSlot
	queued int
}

type modelSlot struct {
	hash    uint64
	key     string
	gen     uint32
	waiters []uint16
	timer   int64 // -1: off
}

// due returns the slots whose timers have fired by now.
func (m *model) due(now int64) (slots []uint32) {
	for slot, s := range m.slots {
		if s.timer >= 0 && (s.timer+TickNanos-1)/TickNanos <= now/TickNanos {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	return slots
}

// hashes, from good to hopeless: the index must find every key under all of them.
var hashes = map[string]func(n uint64) uint64{
	"spread":    func(n uint64) uint64 { return n * 0x9E3779B97F4A7C15 },
	"eight":     func(n uint64) uint64 { return n % 8 },
	"one":       func(uint64) uint64 { return 42 },
	"wrap":      func(n uint64) uint64 { return 0xFFFF_FFFF - n%4 }, // runs that go over the end of the index
	"same tags": func(n uint64) uint64 { return n<<32 | n },         // halves that fold to 0
}

func TestTableAgainstModel(t *testing.T) {
	for name, hash := range hashes {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				runModel(t, hash, rand.New(rand.NewPCG(seed, 1)))
			})
		}
	}
}

const (
	modelSlots   = 48
	modelWaiters = 96
	modelKeys    = 80
	modelSteps   = 3000
)

func runModel(t *testing.T, hash func(uint64) uint64, r *rand.Rand) {
	table := newTable(t, modelSlots, modelWaiters)
	m := &model{byKey: map[string]uint32{}, slots: map[uint32]*modelSlot{}}
	now := r.Int64N(1 << 50)
	for step := range modelSteps {
		n := r.Uint64N(modelKeys)
		key := fmt.Sprintf("%d.example", n)
		h := hash(n)
		slot, open := table.Find(h, []byte(key))
		if want, ok := m.byKey[key]; ok != open || ok && want != slot {
			t.Fatalf("step %d: Find(%s) = %d %v, want %d %v", step, key, slot, open, want, ok)
		}
		switch op := r.IntN(10); {
		case op < 3 && !open:
			openBoth(t, table, m, h, key)
		case op < 6 && open:
			addBoth(t, table, m, slot, uint16(step))
		case op < 8 && open:
			at := max(0, now+modelDelay(r))
			table.Schedule(slot, at)
			m.slots[slot].timer = max(at, firstTickAfter(table, at))
		case op == 8 && open:
			checkWaiters(t, table, m, slot)
			releaseBoth(table, m, slot)
		case op == 9:
			now += modelGap(r)
			expireBoth(t, table, m, now, r)
		}
		if table.Len() != len(m.slots) || table.WaiterLen() != m.queued {
			t.Fatalf("step %d: Len %d, WaiterLen %d, want %d, %d", step, table.Len(), table.WaiterLen(), len(m.slots), m.queued)
		}
	}
	for slot := range m.slots {
		checkWaiters(t, table, m, slot)
		releaseBoth(table, m, slot)
	}
	if table.NextTimer(now) != -1 {
		t.Error("timers are left when all slots are free")
	}
	for i, e := range table.index.entries {
		if e != (indexEntry{}) {
			t.Fatalf("index entry %d is left when all slots are free: %+v", i, e)
		}
	}
}

// modelDelay is mostly a usual timeout, sometimes in the past, sometimes beyond the wheel.
func modelDelay(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return -r.Int64N(1 << 40)
	case 1:
		return r.Int64N(5 * wheelBuckets * TickNanos)
	}
	return r.Int64N(3_000 * TickNanos)
}

// modelGap is mostly a turn, sometimes a sleep of many laps.
func modelGap(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return r.Int64N(4 * wheelBuckets * TickNanos)
	case 1:
		return r.Int64N(1_000 * TickNanos)
	}
	return r.Int64N(4 * TickNanos)
}

// firstTickAfter is the rule for times that are over: they fire at the first tick that is not collected yet.
func firstTickAfter(table *Table, at int64) int64 {
	if tickAtOrAfter(at) < table.wheel.cursor {
		return table.wheel.cursor * TickNanos
	}
	return at
}

func openBoth(t *testing.T, table *Table, m *model, hash uint64, key string) {
	slot, ok := table.Open(hash, []byte(key))
	if want := len(m.slots) < modelSlots; ok != want {
		t.Fatalf("Open with %d open: %v, want %v", len(m.slots), ok, want)
	}
	if !ok {
		return
	}
	if m.slots[slot] != nil {
		t.Fatalf("Open gave slot %d, which is open", slot)
	}
	m.byKey[key] = slot
	m.slots[slot] = &modelSlot{hash: hash, key: key, gen: table.At(slot).Gen, timer: -1}
}

func addBoth(t *testing.T, table *Table, m *model, slot uint32, id uint16) {
	ok := table.AddWaiter(slot, &Waiter{ID: id})
	if want := m.queued < modelWaiters; ok != want {
		t.Fatalf("AddWaiter with %d in use: %v, want %v", m.queued, ok, want)
	}
	if ok {
		m.queued++
		m.slots[slot].waiters = append(m.slots[slot].waiters, id)
	}
}

func releaseBoth(table *Table, m *model, slot uint32) {
	s := m.slots[slot]
	table.Release(slot)
	m.queued -= len(s.waiters)
	delete(m.byKey, s.key)
	delete(m.slots, slot)
}

// expireBoth drains the timers that are due, and schedules some of them again while it does.
func expireBoth(t *testing.T, table *Table, m *model, now int64, r *rand.Rand) {
	due := m.due(now)
	if next := table.NextTimer(now); len(due) > 0 && (next == -1 || next > now) {
		t.Fatalf("NextTimer(%d) = %d with %d due", now, next, len(due))
	}
	var got []uint32
	for {
		slot, ok := table.Expired(now)
		if !ok {
			break
		}
		got = append(got, slot)
		if len(got) > len(due) {
			t.Fatalf("Expired(%d) returned %v, want only %v", now, got, due)
		}
		m.slots[slot].timer = -1
		if r.IntN(3) == 0 {
			at := max(0, now+modelDelay(r))
			table.Schedule(slot, at)
			m.slots[slot].timer = max(at, firstTickAfter(table, at))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, due) {
		t.Fatalf("Expired(%d) returned %v, want %v", now, got, due)
	}
	earliest := int64(-1)
	for _, s := range m.slots {
		if fires := tickAtOrAfter(s.timer) * TickNanos; s.timer >= 0 && (earliest < 0 || fires < earliest) {
			earliest = fires
		}
	}
	if next := table.NextTimer(now); (next == -1) != (earliest == -1) || next > earliest {
		t.Fatalf("NextTimer(%d) = %d, want at most %d", now, next, earliest)
	}
}

func checkWaiters(t *testing.T, table *Table, m *model, slot uint32) {
	var got []uint16
	for w := table.FirstWaiter(slot); w != nil; w = table.NextWaiter(w) {
		got = append(got, w.ID)
	}
	s := m.slots[slot]
	if !slices.Equal(got, s.waiters) || int(table.At(slot).WaiterCount) != len(got) {
		t.Fatalf("slot %d has waiters %v (count %d), want %v", slot, got, table.At(slot).WaiterCount, s.waiters)
	}
	if live := table.Live(slot, s.gen); live == nil || string(live.KeyBytes()) != s.key || live.Hash != s.hash {
		t.Fatalf("slot %d lost its identity", slot)
	}
}
