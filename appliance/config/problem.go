package config

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Problem is one thing wrong, or doubtful, in one place of a configuration file.
type Problem struct {
	File    string // as given to Parse
	Line    int    // 1-based; 0 = the file as a whole
	Key     string // "cache.bytes", `upstream[1].url`; empty where no key can be named
	Text    string
	Warning bool // the file may be used all the same
}

// String gives "file:line: key: text", the form that editors and --check use.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	if p.Warning {
		b.WriteString(": warning")
	}
	b.WriteString(": " + p.Text)
	return b.String()
}

// Problems is every problem of one file in the order of its lines.
type Problems []Problem

// Broken says whether one of them forbids the use of the file.
func (ps Problems) Broken() bool {
	for _, p := range ps {
		if !p.Warning {
			return true
		}
	}
	return false
}

// Error joins the errors (not the warnings), one per line.
func (ps Problems) Error() string {
	var lines []string
	for _, p := range ps {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// written leaves out the warnings about defaults: they can wait until the errors are gone.
func (ps Problems) written() Problems {
	return slices.DeleteFunc(ps, func(p Problem) bool { return p.Warning && p.Line == 0 })
}

func (ps Problems) sorted() Problems {
	sort.SliceStable(ps, func(i, j int) bool { return ps[i].Line < ps[j].Line })
	return ps
}
