package report

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The part of README.md between these lines is ours.
const (
	readmeBegin = "<!-- latest results: written by `make bench`, do not edit -->"
	readmeEnd   = "<!-- end of latest results -->"
)

// UpdateReadme puts the latest results into the file at path. folder, relative to it, holds results.json and cpu.png.
func (r *Results) UpdateReadme(path, folder string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("update README: %w", err)
	}
	before, rest, ok := strings.Cut(string(text), readmeBegin)
	_, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return fmt.Errorf("update %s: %w", path, errNoPlace)
	}
	updated := before + readmeBegin + "\n" + r.Markdown(folder) + readmeEnd + after
	if err := os.WriteFile(path, []byte(updated), 0o644); err != nil {
		return fmt.Errorf("update README: %w", err)
	}
	return nil
}

var errNoPlace = errors.New("the lines that enclose the latest results are gone")

// Markdown is the whole report for a README.
func (r *Results) Markdown(folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n```\n%s\n```\n\n![CPU time per answer](%s/cpu.png)\n\n", r.Fingerprint(), folder)
	fmt.Fprintf(&b, "All figures, turn by turn: [results.json](%s/results.json). Taken in %v.\n\n", folder, r.Took.Round(1e9))
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	b.WriteString("\n| bar | wanted | median (fewest..most) | distance | |\n|---|---|---|---|---|\n")
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		sign := "≥"
		if v.Most {
			sign = "≤"
		}
		fmt.Fprintf(&b, "| %s | %s %s%s | ", v.Text, sign, number(v.Bar), v.Unit)
		if v.State == NotMeasured {
			fmt.Fprintf(&b, " | | %s |\n", v.Reason)
			continue
		}
		fmt.Fprintf(&b, "%s (%s..%s) | %+.0f %% | **%s** |\n", number(v.Value.Median), number(v.Value.Min), number(v.Value.Max), 100*v.Distance, v.State)
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if !s.measured() {
			continue
		}
		fmt.Fprintf(&b, "\n**(%s) %s.** %s %s.\n\n", s.ID, s.Title, s.Question, s.Load)
		for j, row := range r.cells(s) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if j == 0 {
				b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
			}
		}
		b.WriteString("\n")
		for j := range s.Rows {
			for _, note := range s.Rows[j].Notes {
				first, _, _ := strings.Cut(note, "\n")
				fmt.Fprintf(&b, "- %s: %s\n", r.Title(s.Rows[j].Program), first)
			}
		}
	}
	return b.String()
}
