package session

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/report"
	"secure-dns-proxy/bench/scenario"
)

const near, far = 70 * time.Nanosecond, 340 * time.Nanosecond

// TestTurnsWaitForNearCPUs: a turn begins when the CPUs are near, and is repeated if they were moved meanwhile.
func TestTurnsWaitForNearCPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, moved := 0, false
		begun := time.Now()
		s, _ := fake(func(*scenario.Turn) (figure.Sample, error) {
			if now := time.Since(begun) - scoutTime; now < 5*time.Second {
				t.Errorf("began after %v, while the CPUs were far", now)
			}
			runs++
			moved = runs == 2 // during the second run only
			return figure.Sample{figure.QPS: float64(runs)}, nil
		})
		s.Scenarios = s.Scenarios[1:] // one turn of two programs
		s.Scenarios[0].Takes = func(scenario.Settings) time.Duration { return time.Minute }
		s.Distance = func() (time.Duration, error) {
			since := time.Since(begun)
			switch {
			case moved:
				moved = false
				return far, nil
			case since > scoutTime/2 && since < scoutTime+5*time.Second:
				return far, nil
			}
			return near, nil
		}
		var r report.Results
		if err := s.Run(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		if runs != 3 {
			t.Errorf("%d runs, want the second one repeated", runs)
		}
		for i, want := range []float64{1, 3} {
			if got := r.Scenarios[0].Rows[i].Turns[0]; got[figure.QPS] != want || got[figure.Distance] != float64(near) {
				t.Errorf("program %d: %v, want run %v at %v", i, got, want, near)
			}
		}
		if len(r.Notes) != 0 {
			t.Errorf("notes %q", r.Notes)
		}
	})
}

// TestFarTurnsAreTold: CPUs that stay far hold nothing up for ever, and the reader is told.
func TestFarTurnsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, looks := 0, 0
		s, _ := fake(func(*scenario.Turn) (figure.Sample, error) {
			runs++
			time.Sleep(time.Second)
			return figure.Sample{}, nil
		})
		s.Distance = func() (time.Duration, error) {
			if looks++; looks == 1 {
				return near, nil
			}
			return far, nil
		}
		var r report.Results
		begun := time.Now()
		if err := s.Run(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		estimate := s.Estimate()
		if runs < 8 || runs == 8*turnTries {
			t.Errorf("%d runs for 8 turns", runs)
		}
		if took, most := time.Since(begun), scoutTime+8*time.Second+estimate/2+lookEvery; took > most || took < most-2*time.Second {
			t.Errorf("took %v, want about %v", took, most)
		}
		if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "8 of 8 turns") || !strings.Contains(r.Notes[0], "70ns") {
			t.Errorf("notes %q", r.Notes)
		}
	})
}

// TestWaitingEnds: the end of the context ends the wait.
func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, order := fake(func(*scenario.Turn) (figure.Sample, error) { return figure.Sample{}, nil })
		s.Distance = func() (time.Duration, error) { return near, nil }
		if err := s.Run(ctx, &report.Results{}); err == nil || len(*order) != 0 {
			t.Errorf("%v, %v", err, *order)
		}
	})
}
