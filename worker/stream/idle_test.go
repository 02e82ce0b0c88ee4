package stream

import (
	"slices"
	"testing"
	"time"

	"secure-dns-proxy/ring"
)

// expired returns all that is to be closed at now.
func expired(table *Table, now int64) (ids []ConnID) {
	for {
		id, ok := table.Expired(now)
		if !ok {
			return ids
		}
		ids = append(ids, id)
	}
}

const second = int64(time.Second) // the idle timeout of small()

func TestIdleFromAccept(t *testing.T) {
	table := newTable(t, small())
	if got := table.NextTimer(0); got != -1 {
		t.Errorf("NextTimer without connections = %d, want -1", got)
	}
	var ids []ConnID
	for i := range int64(3) {
		id, _ := table.Accept(1, peer("192.0.2.1"), i*100)
		ids = append(ids, id)
	}
	if got := table.NextTimer(200); got != second {
		t.Errorf("NextTimer = %d, want %d", got, second)
	}
	if got := expired(table, second-1); got != nil {
		t.Errorf("expired too early: %v", got)
	}
	if got := expired(table, second+100); !slices.Equal(got, ids[:2]) {
		t.Errorf("expired %v, want %v", got, ids[:2])
	}
	if got := expired(table, second+200); !slices.Equal(got, ids[2:]) {
		t.Errorf("expired %v, want %v: each once", got, ids[2:])
	}
	if got := table.NextTimer(second + 200); got != -1 || table.Stats().Expired != 3 {
		t.Errorf("NextTimer = %d, want -1; counted %d, want 3", got, table.Stats().Expired)
	}
}

func TestWhatEarnsTime(t *testing.T) {
	tests := []struct {
		name  string
		earns bool
		do    func(table *Table, id ConnID, now int64)
	}{
		{"nothing", false, func(*Table, ConnID, int64) {}},
		{"a dripping half message", false, func(table *Table, id ConnID, _ int64) {
			make(rx, 8).read(table, id, []byte{1})
		}},
		{"a complete query", true, func(table *Table, id ConnID, _ int64) {
			make(rx, 8).read(table, id, []byte{0, 1, 1})
		}},
		{"an answer", true, func(table *Table, id ConnID, now int64) { table.Begin(id); table.Done(id, now) }},
		{"an answer that was sent", true, func(table *Table, id ConnID, _ int64) {
			table.Reserve(id, 1)
			table.Commit(id, 1)
			table.Output(id)
			table.Sent(id)
		}},
		{"an answer that is not read", false, func(table *Table, id ConnID, _ int64) {
			table.Reserve(id, 1)
			table.Commit(id, 1)
			table.Output(id)
		}},
		{"the end of its input", false, func(table *Table, id ConnID, _ int64) { table.End(id) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, small())
			id := accept(t, table)
			for now := second / 4; now < second; now += second / 4 {
				if got := expired(table, now); got != nil {
					t.Fatalf("expired at %d", now)
				}
				tt.do(table, id, now)
			}
			if got := len(expired(table, second)) == 0; got != tt.earns {
				t.Errorf("alive after the timeout: %v, want %v", got, tt.earns)
			}
			if got := len(expired(table, 2*second)) == 1; got != tt.earns {
				t.Errorf("expired when quiet since: %v, want %v", got, tt.earns)
			}
		})
	}
}

func TestConnectionThatWaitsForUsIsKept(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	table.Begin(id)
	if got := expired(table, 3*second); got != nil {
		t.Errorf("expired with a query under way: %v", got)
	}
	if got := table.NextTimer(3 * second); got != 4*second {
		t.Errorf("NextTimer = %d, want %d", got, 4*second)
	}
	table.Done(id, 3*second+1)
	if got := expired(table, 4*second+1); !slices.Equal(got, []ConnID{id}) {
		t.Errorf("expired %v, want %v", got, id)
	}
	// Late events of a connection that has expired must not bring it back into the list.
	make(rx, 8).read(table, id, []byte{0, 1, 1})
	if got := table.NextTimer(5 * second); got != -1 {
		t.Errorf("NextTimer = %d, want -1", got)
	}
}

func TestIdleOrder(t *testing.T) {
	table := newTable(t, small())
	var ids []ConnID
	for range 5 {
		ids = append(ids, accept(t, table))
	}
	for i, n := range []int{3, 0, 3, 2} {
		table.Begin(ids[n])
		table.Done(ids[n], int64(i+1))
	}
	table.Shut(ids[4])
	if got, want := expired(table, 10*second), []ConnID{ids[1], ids[0], ids[3], ids[2]}; !slices.Equal(got, want) {
		t.Errorf("expired in order %v, want %v", got, want)
	}
}

// Few places are left: the quietest connection makes room, unless a query of it is under way, and never the one that has just come.
func TestCrowded(t *testing.T) {
	cfg := small()
	cfg.Conns, cfg.ConnsPerClient, cfg.PoolSmall = 64, 64, 128
	table := newTable(t, cfg)
	var ids []ConnID
	accept := func() ConnID {
		t.Helper()
		id, refusal := table.Accept(ring.Handle(len(ids)+1), peer("192.0.2.1"), int64(len(ids)))
		if refusal != RefusalNone {
			t.Fatal(refusal)
		}
		ids = append(ids, id)
		return id
	}
	for range 62 {
		if quiet, ok := table.Crowded(accept()); ok {
			t.Fatalf("%d is to go of %d", quiet, len(ids))
		}
	}
	table.Begin(ids[0])
	if quiet, ok := table.Crowded(accept()); !ok || quiet != ids[1] {
		t.Errorf("%d, %v is to go, want the second one, %d: the first has asked", quiet, ok, ids[1])
	}
	if quiet, ok := table.Crowded(accept()); !ok || quiet != ids[2] {
		t.Errorf("%d, %v is to go, want the third one, %d", quiet, ok, ids[2])
	}
	for _, id := range ids[3:] {
		if id != ids[63] {
			table.Begin(id)
		}
	}
	for range 10 {
		if quiet, ok := table.Crowded(ids[63]); ok {
			t.Errorf("%d is to go, and all but the newest, %d, have asked", quiet, ids[63])
		}
	}
	if got := table.Stats().Crowded; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
	for i, id := range ids {
		if i != 1 && i != 2 && i != 63 {
			table.Done(id, 100)
		}
		table.Release(id)
	}
}

// An answer that is ready but not yet sent, as within a turn, keeps its connection.
func TestCrowdedKeepsAnswers(t *testing.T) {
	cfg := small()
	cfg.Conns, cfg.ConnsPerClient, cfg.PoolSmall = 64, 64, 128
	table := newTable(t, cfg)
	var ids []ConnID
	for i := range 63 {
		id, refusal := table.Accept(ring.Handle(i+1), peer("192.0.2.1"), int64(i))
		if refusal != RefusalNone {
			t.Fatal(refusal)
		}
		defer table.Release(id)
		ids = append(ids, id)
	}
	copy(table.Reserve(ids[0], 20), "answer")
	table.Commit(ids[0], 20)
	if quiet, ok := table.Crowded(ids[62]); !ok || quiet != ids[1] {
		t.Errorf("%d, %v is to go, want the second one, %d: the first is owed an answer", quiet, ok, ids[1])
	}
}

// A table with few places keeps none free.
func TestCrowdedOfFew(t *testing.T) {
	table := newTable(t, small())
	for i := range small().Conns {
		id, refusal := table.Accept(ring.Handle(i+1), peer("192.0.2.1"), int64(i))
		if _, ok := table.Crowded(id); ok || refusal != RefusalNone {
			t.Errorf("%d: %v, crowded %v", i, refusal, ok)
		}
		defer table.Release(id)
	}
}
