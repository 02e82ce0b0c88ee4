package report

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// Results are everything about one run of the benchmark.
type Results struct {
	Started   time.Time         `json:"started"`
	Commit    string            `json:"commit"` // of this repository, with -dirty
	Command   []string          `json:"command"`
	Took      time.Duration     `json:"took_ns"`
	Machine   proc.Machine      `json:"machine"`
	Layout    scenario.Layout   `json:"layout"`
	Settings  scenario.Settings `json:"settings"`
	Programs  []Program         `json:"programs"`
	Scenarios []Scenario        `json:"scenarios"`
	Notes     []string          `json:"notes"` // what a reader must know: what was left out, and why
	Verdicts  []Verdict         `json:"verdicts"`
}

// Program is one that was to be measured.
type Program struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Version string `json:"version"`
	Missing string `json:"missing,omitempty"`
}

// Scenario is one question with the answers of all programs.
type Scenario struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Question string `json:"question"`
	Load     string `json:"load"`
	Bar      string `json:"bar"`
	Chart    bool   `json:"chart"`
	Rows     []Row  `json:"rows"`
}

// Row is one program in one scenario.
type Row struct {
	Program string                        `json:"program"`
	Turns   figure.Series                 `json:"turns"`
	Summary map[figure.Name]figure.Spread `json:"summary"`
	Notes   []string                      `json:"notes,omitempty"` // why turns failed, or why there is none
}

// Of is the row of a program; an empty one if it took no part.
func (s *Scenario) Of(program string) *Row {
	if s != nil {
		for i := range s.Rows {
			if s.Rows[i].Program == program {
				return &s.Rows[i]
			}
		}
	}
	return &Row{}
}

// Scenario by id, nil if it was not run.
func (r *Results) Scenario(id string) *Scenario {
	for i := range r.Scenarios {
		if r.Scenarios[i].ID == id {
			return &r.Scenarios[i]
		}
	}
	return nil
}

// Series of a program in a scenario, nil if there is none.
func (r *Results) Series(id, program string) figure.Series { return r.Scenario(id).Of(program).Turns }

// Ours is the engine that the program itself would choose: io_uring where it can be used.
func (r *Results) Ours() string {
	if len(r.Series(scenario.Hits, server.URing).Values(figure.QPS)) == 0 && len(r.Series(scenario.Hits, server.Mmsg).Values(figure.QPS)) > 0 {
		return server.Mmsg
	}
	return server.URing
}

// Summarize fills the summaries of all rows, and the verdicts.
func (r *Results) Summarize() {
	for i := range r.Scenarios {
		for j := range r.Scenarios[i].Rows {
			row := &r.Scenarios[i].Rows[j]
			row.Summary = map[figure.Name]figure.Spread{}
			for _, turn := range row.Turns {
				for name := range turn {
					row.Summary[name] = row.Turns.Of(name)
				}
			}
		}
	}
	r.Verdicts = r.Verdicts[:0]
	for _, c := range Criteria() {
		r.Verdicts = append(r.Verdicts, c.judge(r))
	}
}

// Title of a program.
func (r *Results) Title(id string) string {
	if i := slices.IndexFunc(r.Programs, func(p Program) bool { return p.ID == id }); i >= 0 {
		return r.Programs[i].Title
	}
	return id
}

// WriteJSON writes all of it.
func (r *Results) WriteJSON(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(path string) (*Results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var r Results
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read results %s: %w", path, err)
	}
	return &r, nil
}
