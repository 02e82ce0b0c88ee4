package inflight

import (
	"slices"
	"testing"
)

const ms = TickNanos

// drain returns what fires at now.
func drain(table *Table, now int64) (slots []uint32) {
	for {
		slot, ok := table.Expired(now)
		if !ok {
			return slots
		}
		slots = append(slots, slot)
	}
}

func TestTimerFiresAtItsTick(t *testing.T) {
	tests := []struct {
		name       string
		at         int64
		last, then int64 // still silent, and fired
	}{
		{"on a tick", 10 * ms, 10*ms - 1, 10 * ms},
		{"within a tick", 10*ms + 1, 11*ms - 1, 11 * ms},
		{"zero", 0, -1, 0},
		{"last tick of the lap", (wheelBuckets - 1) * ms, (wheelBuckets-1)*ms - 1, (wheelBuckets - 1) * ms},
		{"next lap", wheelBuckets * ms, wheelBuckets*ms - 1, wheelBuckets * ms},
		{"ten laps", 10 * wheelBuckets * ms, 10*wheelBuckets*ms - 1, 10 * wheelBuckets * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 2, 1)
			slot := mustOpen(t, table, 1)
			table.Schedule(slot, tt.at)
			if want := min(tt.then, (wheelBuckets-1)*ms); table.NextTimer(0) != want {
				t.Errorf("NextTimer = %d, want the timer's tick or the end of the lap, %d", table.NextTimer(0), want)
			}
			if tt.last >= 0 {
				if got := drain(table, tt.last); got != nil {
					t.Errorf("fired at %d: %v", tt.last, got)
				}
			}
			if got := drain(table, tt.then); !slices.Equal(got, []uint32{slot}) {
				t.Errorf("fired at %d: %v, want [%d]", tt.then, got, slot)
			}
			if next := table.NextTimer(tt.then); next != -1 {
				t.Errorf("NextTimer afterwards = %d, want -1", next)
			}
		})
	}
}

func TestTimersFireInOrder(t *testing.T) {
	table := newTable(t, 8, 1)
	var want []uint32
	for n := range 8 {
		want = append(want, mustOpen(t, table, n))
	}
	for n := range 8 {
		table.Schedule(want[7-n], int64(8-n)*100*ms)
	}
	if got := drain(table, 10*wheelBuckets*ms); !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
}

func TestScheduleReplaces(t *testing.T) {
	table := newTable(t, 1, 1)
	slot := mustOpen(t, table, 1)
	for _, at := range []int64{5, 500, 50, wheelBuckets + 7, 3} {
		table.Schedule(slot, at*ms)
	}
	if got := drain(table, 3*ms); len(got) != 1 {
		t.Errorf("fired %v, want the slot once", got)
	}
	if got := drain(table, 3*wheelBuckets*ms); got != nil {
		t.Errorf("an earlier setting fired as well: %v", got)
	}
}

func TestScheduleInThePastEndsTheLoop(t *testing.T) {
	table := newTable(t, 1, 1)
	slot := mustOpen(t, table, 1)
	now := int64(1000 * ms)
	table.Schedule(slot, now)
	for round := range 5 {
		if got, ok := table.Expired(now); !ok || got != slot {
			t.Fatalf("round %d: nothing fired", round)
		}
		table.Schedule(slot, now-500*ms)
		if got, ok := table.Expired(now); ok {
			t.Fatalf("round %d: slot %d fired twice at one instant", round, got)
		}
		if next := table.NextTimer(now); next <= now || next > now+ms {
			t.Fatalf("round %d: NextTimer = %d, want the tick after %d", round, next, now)
		}
		now += ms
	}
}

func TestReleaseOfADueTimer(t *testing.T) {
	table := newTable(t, 3, 1)
	var slots []uint32
	for n := range 3 {
		slots = append(slots, mustOpen(t, table, n))
		table.Schedule(slots[n], 10*ms)
	}
	if _, ok := table.Expired(20 * ms); !ok {
		t.Fatal("nothing fired")
	}
	table.Release(slots[1]) // collected, not handed out yet
	if next := table.NextTimer(20 * ms); next != 20*ms {
		t.Errorf("NextTimer with one due = %d, want now", next)
	}
	if got := drain(table, 20*ms); !slices.Equal(got, slots[2:]) {
		t.Errorf("fired %v, want %v", got, slots[2:])
	}
}

// TestGapsCostNoScan has one far timer and time that jumps: the number of laps between must not matter. It would run for hours if every
// tick were looked at.
func TestGapsCostNoScan(t *testing.T) {
	table := newTable(t, 2, 1)
	far, near := mustOpen(t, table, 1), mustOpen(t, table, 2)
	const year = 365 * 24 * 3600 * 1000 * ms
	for n := range int64(100) {
		now := n * 2 * year
		table.Schedule(far, now+year)
		table.Schedule(near, now)
		if got := drain(table, now+2*ms); !slices.Equal(got, []uint32{near}) {
			t.Fatalf("year %d: fired %v, want the near timer", 2*n, got)
		}
		if got := drain(table, now+year-1); got != nil {
			t.Fatalf("year %d: fired %v too early", 2*n, got)
		}
		if got := drain(table, now+year); !slices.Equal(got, []uint32{far}) {
			t.Fatalf("year %d: fired %v, want the far timer", 2*n, got)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	table := newTable(b, 4096, 4096)
	key := []byte("\x03www\x07example\x03com\x00\x00\x01\x00\x01\x04")
	w := Waiter{ID: 1}
	var now int64
	for n := range b.N {
		key[1] = byte(n)
		now += 1000
		slot, _ := table.Open(uint64(n)*0x9E3779B97F4A7C15, key)
		table.AddWaiter(slot, &w)
		table.Schedule(slot, now+2000*ms)
		table.Expired(now)
		table.Release(slot)
	}
}
