package balance

import (
	"errors"
	"testing"

	"secure-dns-proxy/transport/health"
)

func states(t *testing.T, down ...bool) []*health.State {
	t.Helper()
	list := make([]*health.State, len(down))
	for i, d := range down {
		list[i] = health.New(func() int64 { return 0 })
		if d {
			list[i].Down(errors.New("refused"))
		}
	}
	return list
}

func TestPick(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy Policy
		down   []bool
		tried  uint64
		cursor uint32
		want   int
	}{
		{"round robin starts at the cursor", RoundRobin, []bool{false, false, false}, 0, 4, 1},
		{"round robin wraps past tried ones", RoundRobin, []bool{false, false, false}, 0b110, 1, 0},
		{"sequential ignores the cursor", Sequential, []bool{false, false, false}, 0, 2, 0},
		{"sequential goes on after a tried one", Sequential, []bool{false, false, false}, 0b001, 0, 1},
		{"a down upstream is passed over", Sequential, []bool{true, false}, 0, 0, 1},
		{"all down: the first in order", Sequential, []bool{true, true}, 0, 0, 0},
		{"the healthy one tried: the down one", Sequential, []bool{true, false}, 0b10, 0, 0},
		{"all tried", RoundRobin, []bool{false, false}, 0b11, 0, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Pick(test.policy, states(t, test.down...), test.tried, test.cursor, 1); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestRoundRobinSpreadsEvenly(t *testing.T) {
	list := states(t, false, false, false)
	var count [3]int
	for cursor := range uint32(300) {
		count[Pick(RoundRobin, list, 0, cursor, 1)]++
	}
	if count != [3]int{100, 100, 100} {
		t.Errorf("got %v", count)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	list := states(t, true, false)
	if n := testing.AllocsPerRun(100, func() { Pick(RoundRobin, list, 0, 1, 1) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
