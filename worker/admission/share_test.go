package admission

import (
	"math"
	"testing"
)

func TestShare(t *testing.T) {
	many := make([]float64, 3*RefusedMax)
	for i := range many {
		many[i] = 1
	}
	tests := []struct {
		name       string
		sources    []float64 // what they offer; the capacity is 1000
		rest       float64   // what others offer
		admissible float64
		want       []float64 // what is left to the refused, the heaviest first
		nobody     bool
	}{
		{"no excess", []float64{500, 400}, 50, 1000, nil, false},
		{"one", []float64{2000}, 0, 1000, []float64{1000}, false},
		{"one beside others", []float64{2000}, 100, 1000, []float64{900}, false},
		{"one below the fair share", []float64{2000, 300}, 0, 1000, []float64{700}, false},
		{"two above it", []float64{2000, 600, 100}, 0, 1000, []float64{450, 450}, false},
		{"a long queue is for the heavy", []float64{2000, 40}, 0, 100, []float64{60}, false},
		{"a longer one, too", []float64{2000, 1000, 30}, 0, 10, []float64{1000 * fairMin, 1000 * fairMin}, false},
		{"from everywhere", nil, 3000, 1000, nil, true},
		{"from everywhere, beside one that is known", []float64{200}, 3000, 1000, nil, true},
		{"mostly from one", []float64{3000}, 800, 1000, []float64{200}, false},
		{"from far more than are heavy", many, 3000, 1000, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var list []Refusal
			offered := tt.rest
			for i, o := range tt.sources {
				list = append(list, Refusal{Source: v4(uint64(i)), Offered: o})
				offered += o
			}
			refused, nobody := share(list, offered, tt.admissible, 1000)
			if nobody != tt.nobody || len(refused) != len(tt.want) {
				t.Fatalf("got %v, nobody %v", refused, nobody)
			}
			for i, r := range refused {
				if left := r.Offered * (1 - r.Share); math.Abs(left-tt.want[i]) > 0.5 {
					t.Errorf("%v offers %.0f, %.1f are left, want %.1f", r.Source.Prefix(), r.Offered, left, tt.want[i])
				}
			}
		})
	}
}
