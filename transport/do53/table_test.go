package do53

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func newTable(t testing.TB, exchanges int) *Table {
	t.Helper()
	table, err := New(Config{Exchanges: exchanges})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustOpen(t testing.TB, table *Table, sock uint16, slot, gen uint32) uint16 {
	t.Helper()
	id, ok := table.Open(sock, slot, gen)
	if !ok {
		t.Fatalf("no id on socket %d with %d open", sock, table.Len())
	}
	return id
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, most uintptr
	}{
		{"entry", unsafe.Sizeof(entry{}), 12},
		{"socket", unsafe.Sizeof(socket{}), 32},
	} {
		if tt.got > tt.most {
			t.Errorf("%s is %d bytes, want at most %d", tt.name, tt.got, tt.most)
		}
	}
}

func TestNewRejects(t *testing.T) {
	for _, n := range []int{-1, 0, ExchangesMax + 1} {
		if _, err := New(Config{Exchanges: n}); err == nil {
			t.Errorf("%d exchanges accepted", n)
		}
	}
}

func TestMatch(t *testing.T) {
	table := newTable(t, 8)
	id := mustOpen(t, table, 3, 70, 71)
	for range 2 { // it stays open
		if slot, gen, ok := table.Match(3, id); !ok || slot != 70 || gen != 71 {
			t.Errorf("match = %d %d %v, want 70 71 true", slot, gen, ok)
		}
	}
	if table.Len() != 1 || table.Outstanding(3) != 1 || table.Outstanding(2) != 0 {
		t.Errorf("%d open, %d on the socket, %d on another", table.Len(), table.Outstanding(3), table.Outstanding(2))
	}
	for _, wrong := range []struct {
		name     string
		sock, id uint16
	}{{"id", 3, id + 1}, {"socket", 2, id}, {"both", 0, ^id}} {
		if _, _, ok := table.Match(wrong.sock, wrong.id); ok {
			t.Errorf("another %s matches", wrong.name)
		}
	}
	if got := table.Stats().Wrong; got != 3 {
		t.Errorf("%d wrong ids counted, want 3", got)
	}
	table.Close(3, id)
	if _, _, ok := table.Match(3, id); ok || table.Len() != 0 || table.Outstanding(3) != 0 {
		t.Error("a closed exchange is still there")
	}
}

func TestFullTable(t *testing.T) {
	table := newTable(t, 2)
	first := mustOpen(t, table, 0, 1, 1)
	mustOpen(t, table, 1, 2, 2)
	if _, ok := table.Open(2, 3, 3); ok || table.Stats().Full != 1 {
		t.Error("a full table opened an exchange, or did not count that it could not")
	}
	table.Close(0, first)
	mustOpen(t, table, 2, 3, 3)
}

func TestFullSocket(t *testing.T) {
	table := newTable(t, 2*OutstandingPerSocketMax)
	seen := map[uint16]bool{}
	for range OutstandingPerSocketMax {
		id := mustOpen(t, table, 0, 1, 1)
		if seen[id] {
			t.Fatalf("id %d given twice on one socket", id)
		}
		seen[id] = true
	}
	if _, ok := table.Open(0, 1, 1); ok {
		t.Error("a full socket opened an exchange")
	}
	mustOpen(t, table, 1, 1, 1)
	if sock, ok := table.Choose([]uint16{0, 1}); !ok || sock != 1 {
		t.Errorf("chose %d %v, want the one with room", sock, ok)
	}
	if _, ok := table.Choose([]uint16{0}); ok {
		t.Error("chose a full socket")
	}
	if _, ok := table.Choose(nil); ok {
		t.Error("chose from none")
	}
}

// TestIDsAreSpread is no proof that nobody can predict them (that is ChaCha8's, and crypto/rand's), but it sees a counter, a short
// cycle, a stuck bit, and two tables with one seed.
func TestIDsAreSpread(t *testing.T) {
	const draws = 1 << 16
	a, b := newTable(t, 1), newTable(t, 1)
	var ones [16]int
	seen := map[uint16]bool{}
	same, steps := 0, map[uint16]int{}
	last := uint16(0)
	for range draws {
		id := mustOpen(t, a, 0, 1, 1)
		a.Close(0, id)
		other := mustOpen(t, b, 0, 1, 1)
		b.Close(0, other)
		if id == other {
			same++
		}
		for bit := range ones {
			ones[bit] += int(id >> bit & 1)
		}
		seen[id] = true
		steps[id-last]++
		last = id
	}
	for bit, n := range ones {
		if n < draws/2-draws/64 || n > draws/2+draws/64 { // eight standard deviations
			t.Errorf("bit %d is set in %d of %d ids", bit, n, draws)
		}
	}
	// Of n draws from n values, 63.2 % of the values come up; the deviation is below 100.
	if len(seen) < draws*62/100 || len(seen) > draws*65/100 {
		t.Errorf("%d different ids in %d draws", len(seen), draws)
	}
	if same > 20 { // one is expected
		t.Errorf("two tables agree %d times", same)
	}
	for step, n := range steps {
		if n > 30 {
			t.Errorf("the next id is %d further %d times", step, n)
		}
	}
}

type (
	modelKey   struct{ sock, id uint16 }
	modelValue struct{ slot, gen uint32 }
)

func TestTableAgainstModel(t *testing.T) {
	for _, size := range []int{1, 3, 64, 1000} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%d/%d", size, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 6))
				table := newTable(t, size)
				model := map[modelKey]modelValue{}
				var keys []modelKey
				outstanding := [5]int{}
				for step := range 20_000 {
					sock := uint16(r.IntN(len(outstanding)))
					switch {
					case r.IntN(2) == 0:
						v := modelValue{r.Uint32(), r.Uint32()}
						id, ok := table.Open(sock, v.slot, v.gen)
						if ok != (len(model) < size) {
							t.Fatalf("step %d: Open = %v with %d open", step, ok, len(model))
						}
						if k := (modelKey{sock, id}); ok {
							if _, twice := model[k]; twice {
								t.Fatalf("step %d: %v given twice", step, k)
							}
							model[k] = v
							keys = append(keys, k)
							outstanding[sock]++
						}
					case len(keys) > 0:
						i := r.IntN(len(keys))
						k := keys[i]
						slot, gen, ok := table.Match(k.sock, k.id)
						if !ok || model[k] != (modelValue{slot, gen}) {
							t.Fatalf("step %d: %v matches %d %d %v, want %v", step, k, slot, gen, ok, model[k])
						}
						table.Close(k.sock, k.id)
						delete(model, k)
						keys = slices.Delete(keys, i, i+1)
						outstanding[k.sock]--
					}
					k := modelKey{sock, uint16(r.Uint32())}
					if _, _, ok := table.Match(k.sock, k.id); ok {
						if _, want := model[k]; !want {
							t.Fatalf("step %d: %v matches nothing", step, k)
						}
					}
					if table.Len() != len(model) || table.Outstanding(sock) != outstanding[sock] {
						t.Fatalf("step %d: %d open, %d on socket %d; want %d, %d", step, table.Len(), table.Outstanding(sock), sock, len(model), outstanding[sock])
					}
				}
				for _, k := range keys {
					table.Close(k.sock, k.id)
				}
				for i, e := range table.entries {
					if e != (entry{}) {
						t.Fatalf("entry %d is left when all is closed: %+v", i, e)
					}
				}
			})
		}
	}
}

func TestMisusePanics(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(table *Table)
	}{
		{"close what is not open", func(table *Table) { table.Close(0, 1) }},
		{"close twice", func(table *Table) { id, _ := table.Open(0, 1, 1); table.Close(0, id); table.Close(0, id) }},
		{"start twice", func(table *Table) { table.Started(0, 0); table.Started(0, 0) }},
		{"start with exchanges open", func(table *Table) { table.Open(0, 1, 1); table.Started(0, 0) }},
		{"retire what was not started", func(table *Table) { table.Retire(0, 0) }},
		{"socket beyond the table", func(table *Table) { table.Open(SocketsMax, 1, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.do(newTable(t, 4))
		})
	}
}

// TestZeroAlloc holds the package's promise. Not parallel: AllocsPerRun counts the whole program.
func TestZeroAlloc(t *testing.T) {
	table := newTable(t, 64)
	var now int64
	socks := []uint16{0, 1, 2}
	for _, sock := range socks {
		table.Started(sock, now)
	}
	id := mustOpen(t, table, 0, 1, 1)
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"Choose, Open, Match, Close", func() {
			sock, _ := table.Choose(socks)
			id, _ := table.Open(sock, 2, 3)
			table.Match(sock, id)
			table.Close(sock, id)
		}},
		{"Match hit", func() { table.Match(0, id) }},
		{"Match miss", func() { table.Match(0, id+1) }},
		{"Rotate", func() {
			now += int64(scanInterval)
			for {
				sock, step := table.Rotate(now)
				if step == Nothing {
					return
				}
				if step == Replace {
					table.Retire(sock, now)
				}
				if step == Close && table.Outstanding(sock) == 0 {
					table.Started(sock, now)
				}
			}
		}},
	} {
		if got := testing.AllocsPerRun(500, tt.do); got != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, got)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	table := newTable(b, 4096)
	socks := []uint16{0, 1, 2, 3, 4, 5, 6, 7}
	for _, sock := range socks {
		table.Started(sock, 0)
	}
	for range b.N {
		sock, _ := table.Choose(socks)
		id, _ := table.Open(sock, 1, 1)
		table.Match(sock, id)
		table.Close(sock, id)
	}
}
