package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/report"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// startStop is the time that starting and stopping one program takes, for the estimate.
const startStop = 400 * time.Millisecond

// Session is a list of scenarios and programs.
type Session struct {
	Bench     *scenario.Bench
	Programs  []server.Program
	Scenarios []*scenario.Scenario
	// Deadline is when no further turn is started; zero: none.
	Deadline time.Time
	// Distance tells how far server and generator are from each other; nil: they stay where they are.
	Distance func() (time.Duration, error)
	// Progress is told of every turn.
	Progress func(Step)
}

// Step is one turn that has ended.
type Step struct {
	Scenario, Program string
	Turn, Done, Steps int
	Left              time.Duration // estimated
	Sample            figure.Sample
	Err               error
}

// step is one turn to run.
type step struct {
	scenario int
	turn     int
	program  int
	takes    time.Duration
}

// plan is all turns in the order in which they are run.
func (s *Session) plan() []step {
	var steps []step
	for i, sc := range s.Scenarios {
		var programs []int
		for p := range s.Programs {
			if sc.Has(s.Programs[p].ID, s.Bench.Settings) && s.Programs[p].Missing == "" {
				programs = append(programs, p)
			}
		}
		for turn := range sc.Turns(s.Bench.Settings) {
			for k := range programs {
				steps = append(steps, step{i, turn, programs[(k+turn)%len(programs)], sc.Takes(s.Bench.Settings) + startStop})
			}
		}
	}
	return steps
}

// Estimate is how long Run will take.
func (s *Session) Estimate() time.Duration { return total(s.plan()) }

func total(steps []step) time.Duration {
	var sum time.Duration
	for _, st := range steps {
		sum += st.takes
	}
	return sum
}

// Run runs everything and fills scenarios and notes of r. After the end of ctx it returns what there is, with ctx's error.
func (s *Session) Run(ctx context.Context, r *report.Results) error {
	r.Scenarios = s.blank()
	steps := s.plan()
	place := placement{look: s.Distance, patience: time.Duration(patienceShare * float64(total(steps)))}
	defer place.remark(r)
	if err := place.scout(ctx); err != nil {
		return err
	}
	for n, st := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.Deadline.IsZero() && time.Now().Add(st.takes).After(s.Deadline) {
			s.leaveOut(r, steps[n:])
			return nil
		}
		row := r.Scenarios[st.scenario].Of(s.Programs[st.program].ID)
		sample, err := place.turn(ctx, func() (figure.Sample, error) { return s.turn(ctx, st) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		row.Turns = append(row.Turns, make(figure.Series, st.turn+1-len(row.Turns))...)
		row.Turns[st.turn] = sample
		if err != nil {
			note(row, st.turn, err)
		}
		s.Progress(Step{
			Scenario: s.Scenarios[st.scenario].ID, Program: s.Programs[st.program].ID, Turn: st.turn, Done: n + 1, Steps: len(steps),
			Left: total(steps[n+1:]), Sample: sample, Err: err,
		})
	}
	return nil
}

// blank has a row for every program, also for those that cannot take part: they are named.
func (s *Session) blank() []report.Scenario {
	var blank []report.Scenario
	for _, sc := range s.Scenarios {
		out := report.Scenario{ID: sc.ID, Title: sc.Title, Question: sc.Question, Load: sc.Load, Bar: sc.Bar, Chart: sc.Chart}
		for _, p := range s.Programs {
			if !sc.Has(p.ID, s.Bench.Settings) {
				continue
			}
			row := report.Row{Program: p.ID}
			if p.Missing != "" {
				row.Notes = []string{"missing: " + p.Missing}
			}
			out.Rows = append(out.Rows, row)
		}
		blank = append(blank, out)
	}
	return blank
}

// turn runs one program once.
func (s *Session) turn(ctx context.Context, st step) (figure.Sample, error) {
	t := &scenario.Turn{Bench: s.Bench, Number: st.turn, Program: &s.Programs[st.program]}
	sample, err := s.Scenarios[st.scenario].Run(ctx, t)
	if stopped := t.Stop(err != nil); stopped != nil {
		err = errors.Join(err, stopped)
	}
	if err != nil {
		return nil, err
	}
	return sample, nil
}

// note keeps the reasons of failed turns; the same one is told once.
func note(row *report.Row, turn int, err error) {
	text := err.Error()
	if !errors.Is(err, server.ErrCannot) {
		text = fmt.Sprintf("turn %d: %v", turn+1, err)
	}
	if !slices.Contains(row.Notes, text) {
		row.Notes = append(row.Notes, text)
	}
}

// leaveOut notes the turns that there was no time for.
func (s *Session) leaveOut(r *report.Results, steps []step) {
	left := map[string]int{}
	for _, st := range steps {
		left[s.Scenarios[st.scenario].ID]++
	}
	for _, sc := range s.Scenarios {
		if n := left[sc.ID]; n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("out of time: %d turns of (%s) were not run", n, sc.ID))
		}
	}
}
