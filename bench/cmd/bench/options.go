package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

const usage = `bench measures this proxy against dnsdist, unbound, CoreDNS, dnsproxy and an echo, in turns, on loopback.

  bench                        everything, 5 turns; prints how long it will take and keeps the results in bench/results/
  bench -quick                 a look, in under 3 minutes; its figures are no measurement
  bench -scenarios a,d-2048    only these; -programs uring,dnsdist-tuned,echo likewise
  bench -dnsdist PATH          with another dnsdist than Debian's
  bench -render FILE           prints an earlier results.json again, with table, plot and README

It needs two CPUs that nobody else uses, and root only to install a missing peer with apt-get. Flags:
`

const (
	// quickLimit is when a quick run starts no further turn; the rest of the 3 minutes are for building, and the last turn.
	quickLimit = 145 * time.Second
	turnsMax   = 101
	// entriesMin: a tenth of them must make a cache that this proxy takes, 2 MiB. entriesMax is a few GiB in unbound.
	entriesMin = 150_000
	entriesMax = 4_000_000
)

type options struct {
	root      string
	dnsdist   string
	scenarios []string // empty: all
	programs  []string
	cpus      []int
	settings  scenario.Settings
	limit     time.Duration // of the whole run; 0: none
	keep      bool
	out       string
	render    string
	quick     bool
}

func parseOptions(args []string, help io.Writer) (*options, error) {
	o := &options{}
	var scenarios, programs, cpus string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(help)
	f.Usage = func() {
		fmt.Fprint(help, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.root, "root", "", "`folder` of the repository; default: the one that this folder is in")
	f.StringVar(&o.dnsdist, "dnsdist", "", "`path` of the dnsdist to measure; default: the installed one")
	f.StringVar(&scenarios, "scenarios", "", "comma-separated `ids`; default: all")
	f.StringVar(&programs, "programs", strings.Join(server.All(), ","), "comma-separated `ids`")
	f.StringVar(&cpus, "cpus", "", "`list` of CPUs as in 0-3: the first for the server, the next for the generator; default: all we may use")
	f.IntVar(&o.settings.Turns, "turns", 5, "`number` of turns; their median counts")
	f.DurationVar(&o.settings.Full, "full", 3*time.Second, "`time` of a closed-loop run")
	f.DurationVar(&o.settings.Half, "half", 2*time.Second, "`time` of an open-loop run")
	f.IntVar(&o.settings.Entries, "entries", 1_000_000, "`number` of names of (b) and (h)")
	f.BoolVar(&o.quick, "quick", false, "a single short turn, fewer names, slower peers only in (a); ends in under 3 minutes")
	f.BoolVar(&o.keep, "keep", true, "keep the results, with a plot, in bench/results/ and the table in bench/README.md")
	f.StringVar(&o.out, "out", "", "`folder` for the results instead of bench/results/<date>-<commit>; README.md stays as it is")
	f.StringVar(&o.render, "render", "", "results.json `file` to print again instead of measuring")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; all settings are flags", f.Arg(0))
	}
	if o.quick {
		o.quicken(f)
	}
	var err error
	if o.cpus, err = proc.AllowedCPUs(); err == nil && cpus != "" {
		o.cpus, err = proc.ParseCPUs(cpus)
	}
	o.programs = strings.Split(programs, ",")
	if scenarios != "" {
		o.scenarios = strings.Split(scenarios, ",")
	}
	return o, errors.Join(err, o.findRoot(), o.check())
}

// quicken takes the place of what was not set.
func (o *options) quicken(f *flag.FlagSet) {
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if !set["turns"] {
		o.settings.Turns = 1
	}
	if !set["full"] {
		o.settings.Full = 400 * time.Millisecond
	}
	if !set["half"] {
		o.settings.Half = 300 * time.Millisecond
	}
	if !set["entries"] {
		o.settings.Entries = entriesMin
	}
	if !set["keep"] {
		o.keep = false
	}
	o.settings.Quick, o.limit = true, quickLimit
}

func (o *options) check() error {
	if o.settings.Turns < 1 || o.settings.Turns > turnsMax {
		return fmt.Errorf("-turns %d: want 1 to %d", o.settings.Turns, turnsMax)
	}
	if o.settings.Full < 50*time.Millisecond || o.settings.Half < 50*time.Millisecond {
		return errors.New("-full, -half: want at least 50ms")
	}
	if o.settings.Entries < entriesMin || o.settings.Entries > entriesMax {
		return fmt.Errorf("-entries %d: want %d to %d", o.settings.Entries, entriesMin, entriesMax)
	}
	return nil
}

// findRoot walks up to the repository.
func (o *options) findRoot() error {
	if o.root != "" {
		return nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module secure-dns-proxy\n") {
			o.root = dir
			return nil
		}
		if dir == filepath.Dir(dir) {
			return errors.New("this folder is not in the repository: give -root")
		}
		dir = filepath.Dir(dir)
	}
}

// pick returns the chosen scenarios.
func (o *options) pick(all []*scenario.Scenario) ([]*scenario.Scenario, error) {
	if len(o.scenarios) == 0 {
		return all, nil
	}
	var picked []*scenario.Scenario
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
		if slices.Contains(o.scenarios, s.ID) {
			picked = append(picked, s)
		}
	}
	for _, id := range o.scenarios {
		if !slices.Contains(ids, id) {
			return nil, fmt.Errorf("-scenarios: no %q here, want some of %s", id, strings.Join(ids, ","))
		}
	}
	return picked, nil
}
