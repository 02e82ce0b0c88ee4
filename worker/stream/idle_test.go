package stream

import (
	"fmt"
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

// crowd is a table of 64 places, 2 of which are to be kept free, with connections of the clients in turn, one each ns; released when the test ends.
func crowd(t *testing.T, clients ...string) (*Table, []ConnID) {
	t.Helper()
	cfg := small()
	cfg.Conns, cfg.ConnsPerClient, cfg.PoolSmall = 64, 64, 128
	table := newTable(t, cfg)
	var ids []ConnID
	for i, client := range clients {
		id, refusal := table.Accept(ring.Handle(i+1), peer(client), int64(i))
		if refusal != RefusalNone {
			t.Fatal(refusal)
		}
		ids = append(ids, id)
	}
	return table, ids
}

// times returns so many of a client.
func times(n int, client string) []string { return slices.Repeat([]string{client}, n) }

// made returns all connections that are to make room at now.
func made(table *Table, now int64) (ids []ConnID) {
	for {
		id, ok := table.Crowded(now)
		if !ok {
			return ids
		}
		ids = append(ids, id)
		table.Shut(id)
	}
}

const grace = int64(crowdedGrace)

// Few places are left: the quietest connections make room, unless a query of theirs is under way, as many as are missing.
func TestCrowded(t *testing.T) {
	table, _ := crowd(t, times(62, "192.0.2.1")...)
	if got := made(table, second/2); got != nil {
		t.Errorf("%v are to go of 62", got)
	}
	table, ids := crowd(t, times(64, "192.0.2.1")...)
	table.Begin(ids[0])
	if got, want := made(table, second/2), ids[1:3]; !slices.Equal(got, want) {
		t.Errorf("%v are to go, want the second one and the third one, %v: the first has asked", got, want)
	}
	if got := table.Stats().Crowded; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
	for _, id := range ids[1:3] {
		table.Release(id)
	}
	if got := made(table, second/2); got != nil {
		t.Errorf("%v are to go, and there is room", got)
	}
	table.Done(ids[0], second/2)
}

// Those who have queries under way, all of them, are not the trouble.
func TestCrowdedWithQueries(t *testing.T) {
	table, ids := crowd(t, times(64, "192.0.2.1")...)
	for _, id := range ids {
		table.Begin(id)
	}
	for now := grace; now < second/2; now += grace / 20 {
		if got := made(table, now); got != nil {
			t.Errorf("%v are to go at %d, and all have asked", got, now)
		}
	}
	for _, id := range ids {
		table.Done(id, second)
	}
}

// A burst of more than find room, in one turn of the worker: the first fill the table and have time to ask, whatever comes behind them.
func TestCrowdedGrace(t *testing.T) {
	table, ids := crowd(t, times(64, "192.0.2.1")...)
	for i := range 300 {
		if _, refusal := table.Accept(1, peer("192.0.2.2"), int64(64+i)); refusal != RefusedTotal {
			t.Fatalf("the full table: %v", refusal)
		}
		if got := made(table, int64(64+i)); got != nil {
			t.Fatalf("%v are to go, %d ns old", got, 64+i)
		}
	}
	make(rx, 8).read(table, ids[0], []byte{0, 1, 1}) // asks at 363, and is answered at once
	if got := table.NextTimer(400); got != grace+1 {
		t.Errorf("NextTimer = %d, want %d, when the second one's grace is over", got, grace+1)
	}
	if got := made(table, grace); got != nil {
		t.Errorf("%v are to go within their grace", got)
	}
	if got, want := made(table, grace+2), ids[1:3]; !slices.Equal(got, want) {
		t.Errorf("%v are to go, want %v, whose grace is over and who have not asked", got, want)
	}
	if got := made(table, second/2); got != nil {
		t.Errorf("%v are to go, and two places will be free as soon as the kernel has closed two", got)
	}
	if got := table.NextTimer(second / 2); got != second+3 {
		t.Errorf("NextTimer = %d, want %d, when the fourth one has been idle for too long", got, second+3)
	}
}

// Of those that have been quiet longest, one of the client who has the most goes.
func TestCrowdedHeaviest(t *testing.T) {
	clients := slices.Concat([]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, times(2, "192.0.2.2"), times(59, "192.0.2.4")) // three of .2, 59 of .4
	table, ids := crowd(t, clients...)
	for _, id := range ids[5+crowdedLooks:] {
		table.Begin(id)
	}
	if got, want := made(table, second/2), ids[5:7]; !slices.Equal(got, want) {
		t.Errorf("%v are to go, want the first two, %v, of the client who has 59", got, want)
	}
	for _, id := range ids[5+crowdedLooks:] {
		table.Done(id, second)
	}

	clients = slices.Concat([]string{"192.0.2.1"}, times(2, "192.0.2.2"))
	for i := range 61 {
		clients = append(clients, fmt.Sprintf("198.51.100.%d", i))
	}
	table, ids = crowd(t, clients...)
	if got, want := made(table, second/2), []ConnID{ids[1], ids[2]}; !slices.Equal(got, want) {
		t.Errorf("%v are to go, want %v, of the only client who has two", got, want)
	}
}

// An answer that is ready but not yet sent, as within a turn, keeps its connection.
func TestCrowdedKeepsAnswers(t *testing.T) {
	table, ids := crowd(t, times(63, "192.0.2.1")...)
	copy(table.Reserve(ids[0], 20), "answer")
	table.Commit(ids[0], 20)
	if got, want := made(table, second/2), ids[1:2]; !slices.Equal(got, want) {
		t.Errorf("%v are to go, want the second one, %v: the first is owed an answer", got, want)
	}
}

// A table with few places keeps none free.
func TestCrowdedOfFew(t *testing.T) {
	table := newTable(t, small())
	for i := range small().Conns {
		if _, refusal := table.Accept(ring.Handle(i+1), peer("192.0.2.1"), int64(i)); refusal != RefusalNone {
			t.Errorf("%d: %v", i, refusal)
		}
		if got := made(table, second/2); got != nil {
			t.Errorf("%v are to go of %d", got, i+1)
		}
	}
}
