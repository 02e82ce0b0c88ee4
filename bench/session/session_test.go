package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/report"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// fake is a session of two programs and a missing one, whose turns are what run says.
func fake(run func(*scenario.Turn) (figure.Sample, error)) (*Session, *[]string) {
	order := &[]string{}
	s := &Session{
		Bench:    &scenario.Bench{Settings: scenario.Settings{Turns: 3}},
		Programs: []server.Program{{ID: "x"}, {ID: "y"}, {ID: "z", Missing: "not here"}},
		Progress: func(Step) {},
	}
	for _, id := range []string{"s1", "s2"} {
		s.Scenarios = append(s.Scenarios, &scenario.Scenario{
			ID: id, Programs: []string{"x", "y", "z"}, TurnsMax: map[string]int{"s2": 1}[id],
			Takes: func(scenario.Settings) time.Duration { return time.Second },
			Run: func(_ context.Context, t *scenario.Turn) (figure.Sample, error) {
				*order = append(*order, id+t.Program.ID)
				return run(t)
			},
		})
	}
	return s, order
}

func TestTurnsAlternate(t *testing.T) {
	s, order := fake(func(t *scenario.Turn) (figure.Sample, error) {
		return figure.Sample{figure.QPS: float64(t.Number)}, nil
	})
	var r report.Results
	if err := s.Run(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(*order, " "), "s1x s1y s1y s1x s1x s1y s2x s2y"; got != want {
		t.Errorf("order: got %s, want %s", got, want)
	}
	if got := s.Estimate(); got != 8*(time.Second+startStop) {
		t.Errorf("estimate: got %v", got)
	}
	if got := r.Series("s1", "y"); len(got) != 3 || got[2][figure.QPS] != 2 {
		t.Errorf("turns: got %v", got)
	}
	if notes := r.Scenario("s2").Of("z").Notes; len(notes) != 1 || !strings.Contains(notes[0], "not here") {
		t.Errorf("a missing program: got notes %q", notes)
	}
}

// A failed turn leaves its place empty, so that the others stay beside the turns of their time.
func TestFailedTurn(t *testing.T) {
	s, _ := fake(func(t *scenario.Turn) (figure.Sample, error) {
		if t.Program.ID == "x" && t.Number == 1 {
			return nil, errors.New("it fell over")
		}
		return figure.Sample{figure.QPS: 1}, nil
	})
	var r report.Results
	if err := s.Run(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	got := r.Series("s1", "x")
	if len(got) != 3 || got[0] == nil || got[1] != nil || got[2] == nil {
		t.Errorf("turns: got %v, want the second empty", got)
	}
	if notes := r.Scenario("s1").Of("x").Notes; len(notes) != 1 || !strings.Contains(notes[0], "turn 2: it fell over") {
		t.Errorf("notes: got %q", notes)
	}
}

func TestDeadlineIsNoted(t *testing.T) {
	s, order := fake(func(*scenario.Turn) (figure.Sample, error) { return figure.Sample{}, nil })
	s.Deadline = time.Now().Add(time.Millisecond)
	var r report.Results
	if err := s.Run(t.Context(), &r); err != nil || len(*order) != 0 {
		t.Fatalf("got %v after %v", err, *order)
	}
	if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "6 turns of (s1)") {
		t.Errorf("notes: got %q", r.Notes)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, order := fake(func(*scenario.Turn) (figure.Sample, error) {
		cancel()
		return nil, context.Canceled
	})
	var r report.Results
	if err := s.Run(ctx, &r); !errors.Is(err, context.Canceled) || len(*order) != 1 {
		t.Errorf("got %v after %v, want one turn and %v", err, *order, context.Canceled)
	}
}
