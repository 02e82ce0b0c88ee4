package figure

import (
	"errors"
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   Spread
	}{
		{"none", nil, Spread{}},
		{"one", []float64{3}, Spread{3, 3, 3, 1}},
		{"odd, unsorted", []float64{5, 1, 3}, Spread{3, 1, 5, 3}},
		{"even: mean of the middle", []float64{4, 1, 2, 10}, Spread{3, 1, 10, 4}},
		{"an outlier does not move the median", []float64{1, 1, 1, 1, 1000}, Spread{1, 1, 1000, 5}},
		{"undefined values are left out", []float64{math.NaN(), 2, math.Inf(1)}, Spread{2, 2, 2, 1}},
	} {
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The machine got twice as slow in the second turn: the ratio does not see it.
func TestRatioCancelsDrift(t *testing.T) {
	ours := Series{{QPS: 200}, {QPS: 100}, {QPS: 210}}
	base := Series{{QPS: 100}, {QPS: 50}, {QPS: 100}}
	got, err := Ratio(ours, base, QPS)
	if want := (Spread{2, 2, 2.1, 3}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestRatioLeavesOutFailedTurns(t *testing.T) {
	for _, c := range []struct {
		name       string
		ours, base Series
		want       Spread
		wantErr    error
	}{
		{"a turn of ours failed", Series{nil, {CPU: 6}}, Series{{CPU: 2}, {CPU: 3}}, Spread{2, 2, 2, 1}, nil},
		{"a turn of the base failed", Series{{CPU: 4}, {CPU: 6}}, Series{{CPU: 2}, nil}, Spread{2, 2, 2, 1}, nil},
		{"the base has fewer turns", Series{{CPU: 4}, {CPU: 6}}, Series{{CPU: 2}}, Spread{2, 2, 2, 1}, nil},
		{"a base of 0", Series{{CPU: 4}}, Series{{CPU: 0}}, Spread{}, ErrNotMeasured},
		{"no base at all", Series{{CPU: 4}}, nil, Spread{}, ErrNotMeasured},
		{"another figure", Series{{QPS: 4}}, Series{{QPS: 4}}, Spread{}, ErrNotMeasured},
	} {
		got, err := Ratio(c.ours, c.base, CPU)
		if got != c.want || !errors.Is(err, c.wantErr) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.name, got, err, c.want, c.wantErr)
		}
	}
}
