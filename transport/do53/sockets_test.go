package do53

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const second = int64(time.Second)

// steps returns all that Rotate asks for at now.
func steps(table *Table, now int64) (replace, closing []uint16) {
	for {
		switch sock, step := table.Rotate(now); step {
		case Replace:
			replace = append(replace, sock)
		case Close:
			closing = append(closing, sock)
		case Nothing:
			return replace, closing
		}
	}
}

// use has n exchanges begin and end on a socket.
func use(t *testing.T, table *Table, sock uint16, n int) {
	t.Helper()
	for range n {
		table.Close(sock, mustOpen(t, table, sock, 1, 1))
	}
}

func TestReplaceAfterUse(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	table.Started(1, 0)
	use(t, table, 0, usesMax/2-1)
	if replace, _ := steps(table, 1); replace != nil {
		t.Errorf("replace %v after fewer than %d queries", replace, usesMax/2)
	}
	use(t, table, 0, usesMax/2+1)
	if replace, _ := steps(table, 1); !slices.Equal(replace, []uint16{0}) {
		t.Errorf("replace %v after %d queries, want [0]", replace, usesMax)
	}
}

func TestReplaceByAge(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	table.Started(1, 0) // never used: nothing to be found out
	use(t, table, 0, 1)
	if replace, _ := steps(table, int64(ageMax)/2-1); replace != nil {
		t.Errorf("replace %v before its time", replace)
	}
	if replace, _ := steps(table, int64(ageMax)); !slices.Equal(replace, []uint16{0}) {
		t.Errorf("replace %v at the latest time, want [0]", replace)
	}
	if replace, _ := steps(table, 100*int64(ageMax)); !slices.Equal(replace, []uint16{0}) {
		t.Errorf("replace %v much later, want [0]", replace)
	}
	use(t, table, 1, 1)
	if replace, _ := steps(table, 101*int64(ageMax)); !slices.Contains(replace, 1) {
		t.Errorf("replace %v once an old socket is used, want 1 among them", replace)
	}
}

func TestLimitsDiffer(t *testing.T) {
	table := newTable(t, 16)
	ages, uses := map[int64]bool{}, map[uint32]bool{}
	for sock := range uint16(100) {
		table.Started(sock, 0)
		s := table.sockets[sock]
		if s.due < int64(ageMax)/2 || s.due > int64(ageMax) || s.usesMost < usesMax/2 || s.usesMost > usesMax {
			t.Errorf("socket %d lives for %d ns or %d queries", sock, s.due, s.usesMost)
		}
		ages[s.due], uses[s.usesMost] = true, true
	}
	if len(ages) < 90 || len(uses) < 90 {
		t.Errorf("100 sockets have %d different ages and %d different uses", len(ages), len(uses))
	}
}

func TestReplaceWhenSomebodyGuesses(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	open := mustOpen(t, table, 0, 1, 1)
	for i := range wrongMax {
		if replace, _ := steps(table, 1); replace != nil {
			t.Fatalf("replace %v after %d wrong ids, want %d", replace, i, wrongMax)
		}
		table.Match(0, open+1+uint16(i))
	}
	if replace, _ := steps(table, 1); !slices.Equal(replace, []uint16{0}) {
		t.Errorf("replace %v, want [0]", replace)
	}
}

func TestReplacementThatFailsIsAskedForAgain(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	use(t, table, 0, usesMax)
	for n := range int64(3) {
		now := n * 2 * second
		if replace, _ := steps(table, now); !slices.Equal(replace, []uint16{0}) {
			t.Fatalf("at %d s: replace %v, want [0], once", 2*n, replace)
		}
		if replace, _ := steps(table, now+int64(replaceRetry)-1); replace != nil {
			t.Fatalf("asked again at once: %v", replace)
		}
		use(t, table, 0, 1) // it is used on meanwhile
	}
}

func TestRetiredDrainsAndCloses(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	id := mustOpen(t, table, 0, 7, 8)
	table.Retire(0, second)
	if _, ok := table.Open(0, 1, 1); ok {
		t.Error("a retired socket takes queries")
	}
	if _, ok := table.Choose([]uint16{0}); ok {
		t.Error("a retired socket is chosen")
	}
	if slot, gen, ok := table.Match(0, id); !ok || slot != 7 || gen != 8 {
		t.Error("a retired socket matches no answers")
	}
	for i := range uint16(wrongMax) {
		table.Match(0, id+1+i)
	}
	if replace, closing := steps(table, 2*second); replace != nil || closing != nil {
		t.Errorf("replaces %v, closes %v, with an exchange open and somebody guessing", replace, closing)
	}
	table.Close(0, id)
	if _, closing := steps(table, 2*second); !slices.Equal(closing, []uint16{0}) {
		t.Errorf("closes %v, want [0]", closing)
	}
	table.Started(0, 3*second)
	if table.Stats().Forced != 0 || table.Stats().Started != 2 {
		t.Errorf("counted %+v, want none forced, two started", table.Stats())
	}
}

func TestRetiredWithNothingOpenClosesAtOnce(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	table.Retire(0, 0)
	if _, closing := steps(table, 0); !slices.Equal(closing, []uint16{0}) {
		t.Errorf("closes %v, want [0]", closing)
	}
}

func TestDrainEnds(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	id := mustOpen(t, table, 0, 1, 1)
	table.Retire(0, 0)
	if _, closing := steps(table, int64(drainMax)-1); closing != nil {
		t.Errorf("closes %v too early", closing)
	}
	if _, closing := steps(table, int64(drainMax+scanInterval)); !slices.Equal(closing, []uint16{0}) {
		t.Errorf("closes %v, want [0]", closing)
	}
	if table.Stats().Forced != 1 || table.Outstanding(0) != 1 {
		t.Errorf("forced %d, outstanding %d; want 1, 1", table.Stats().Forced, table.Outstanding(0))
	}
	table.Close(0, id) // the query's own deadline
	table.Started(0, int64(drainMax))
}

func TestStoppedIsForgotten(t *testing.T) {
	table := newTable(t, 16)
	table.Started(0, 0)
	use(t, table, 0, usesMax) // queued for a replacement
	table.Stopped(0)
	if replace, closing := steps(table, 100*second); replace != nil || closing != nil {
		t.Errorf("asks for %v, %v of a stopped socket", replace, closing)
	}
	table.Stopped(5) // never started
}

// TestRestartsFillNoQueue stops sockets while they wait for Rotate to look at them.
func TestRestartsFillNoQueue(t *testing.T) {
	table := newTable(t, 16)
	for range 2 * SocketsMax {
		table.Started(0, 0)
		table.Retire(0, 0)
		table.Stopped(0)
	}
	if got := table.ready.n; got != 1 {
		t.Errorf("one socket is queued %d times", got)
	}
}

// TestRotationUnderLoad is a worker with eight ports: none is used for long, none closes with a query open, numbers come back.
func TestRotationUnderLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	table := newTable(t, 4096)
	type exchange struct{ sock, id uint16 }
	var open []exchange
	var socks []uint16
	free := []uint16{}
	for sock := range uint16(16) {
		free = append(free, sock)
	}
	start := func(now int64) bool {
		for i, sock := range free {
			if table.Outstanding(sock) == 0 {
				free = slices.Delete(free, i, i+1)
				table.Started(sock, now)
				socks = append(socks, sock)
				return true
			}
		}
		return false
	}
	for range 8 {
		start(0)
	}
	startedAt := map[uint16]int64{}
	const turns = 200_000
	for turn := range int64(turns) {
		now := turn * int64(time.Millisecond)
		for {
			sock, step := table.Rotate(now)
			if step == Nothing {
				break
			}
			if step == Close {
				if table.Outstanding(sock) != 0 {
					t.Fatalf("turn %d: socket %d closes with %d open", turn, sock, table.Outstanding(sock))
				}
				free = append(free, sock)
				continue
			}
			if !start(now) {
				continue
			}
			startedAt[socks[len(socks)-1]] = now
			socks = slices.DeleteFunc(socks, func(other uint16) bool { return other == sock })
			table.Retire(sock, now)
		}
		if sock, ok := table.Choose(socks); ok {
			open = append(open, exchange{sock, mustOpen(t, table, sock, 1, 1)})
			if age := now - startedAt[sock]; age > int64(ageMax+replaceRetry+scanInterval) {
				t.Fatalf("turn %d: socket %d is used at the age of %d ns", turn, sock, age)
			}
		}
		for len(open) > 100 {
			i := r.IntN(len(open))
			table.Close(open[i].sock, open[i].id)
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
	}
	if got := table.Stats().Started; got < turns/1000/10*8 {
		t.Errorf("%d sockets in %d s, want 8 every 10 s at least", got, turns/1000)
	}
}
