package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table is rows whose columns are aligned.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer) *table { return &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

// row writes one; control characters in cells, which may come from a server, are shown as dots.
func (t *table) row(cells ...any) {
	var text []string
	for _, c := range cells {
		s := fmt.Sprint(c)
		if d, ok := c.(time.Duration); ok {
			s = durationText(d)
		}
		text = append(text, strings.Map(printable, s))
	}
	fmt.Fprintln(t.w, strings.Join(text, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '.'
	}
	return r
}

// durationText has three digits or so; "-" for none.
func durationText(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Nanosecond).String()
}

// percent is part of all, "-" where all is none.
func percent(part, all uint64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(min(part, all))/float64(all))
}
