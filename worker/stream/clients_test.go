package stream

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestClientOf(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"0.0.0.1", "0:0:0:1::", false}, // the same number in the other family
		{"::1", "::2", true},
	}
	for _, tt := range tests {
		a, b := clientOf(netip.MustParseAddr(tt.a)), clientOf(netip.MustParseAddr(tt.b))
		if (a == b) != tt.same {
			t.Errorf("%s and %s: same client = %v, want %v", tt.a, tt.b, a == b, tt.same)
		}
	}
}

// TestClientsAgainstModel fills the table as far as it ever gets, so that runs are long and wrap.
func TestClientsAgainstModel(t *testing.T) {
	const conns, most = 32, 3
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		table := clients{entries: make([]clientEntry, clientEntries(conns))}
		table.init()
		counts := map[client]int{}
		var open []client
		for step := range 4_000 {
			if r.IntN(2) == 0 && len(open) < conns {
				c := client{prefix: r.Uint64N(40), version: 4 + 2*r.Uint32N(2)}
				if got, want := table.add(c, most), counts[c] < most; got != want {
					t.Fatalf("seed %d step %d: add(%v) = %v with %d, want %v", seed, step, c, got, counts[c], want)
				} else if got {
					counts[c]++
					open = append(open, c)
				}
			} else if len(open) > 0 {
				i := r.IntN(len(open))
				c := open[i]
				table.remove(c)
				counts[c]--
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
			}
			for c, want := range counts {
				if got := int(table.entries[table.find(c)].count); got != want {
					t.Fatalf("seed %d step %d: %v has %d, want %d", seed, step, c, got, want)
				}
			}
		}
	}
}
