package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/report"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
	"secure-dns-proxy/bench/session"
)

func run(ctx context.Context, args []string) error {
	begun := time.Now()
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	if o.render != "" {
		return render(o)
	}
	layout, err := scenario.NewLayout(o.cpus)
	if err != nil {
		return err
	}
	scenarios, err := o.pick(scenario.All(layout))
	if err != nil {
		return err
	}
	machine, err := proc.ReadMachine()
	if err != nil {
		return err
	}
	r := &report.Results{
		Started: begun.UTC(), Commit: server.Commit(ctx, o.root), Command: append([]string{"bench"}, args...),
		Machine: machine, Layout: layout, Settings: o.settings,
	}
	programs, err := server.Find(ctx, server.Options{Root: o.root, Dnsdist: o.dnsdist, Want: o.programs, Log: log})
	if err != nil {
		return err
	}
	for _, p := range programs {
		r.Programs = append(r.Programs, report.Program{ID: p.ID, Title: p.Title, Version: p.Version, Missing: p.Missing})
	}
	s := &session.Session{Programs: programs, Scenarios: scenarios, Progress: showStep}
	if o.limit > 0 {
		s.Deadline = begun.Add(o.limit)
	}
	if err := measure(ctx, o, s, layout, r); err != nil {
		return errors.Join(err, tellRest(err, r))
	}
	r.Took = time.Since(begun)
	r.Notes = append(r.Notes, remarks(r)...)
	return publish(o, r)
}

// tellRest prints what an interrupted run has measured so far. It is not kept.
func tellRest(err error, r *report.Results) error {
	if !errors.Is(err, context.Canceled) || len(r.Scenarios) == 0 {
		return nil
	}
	r.Notes = append(r.Notes, "interrupted: incomplete")
	r.Summarize()
	return r.WriteText(os.Stdout)
}

// turnsMin turns are a measurement, fewer a look.
const turnsMin = 5

// measure starts what all scenarios share, runs them, and ends it again.
func measure(ctx context.Context, o *options, s *session.Session, layout scenario.Layout, r *report.Results) (err error) {
	generator, err := server.Build(ctx, o.root, o.root, "bench/dnsload", "./tools/dnsload", "-trimpath")
	if err != nil {
		return err
	}
	answerer, err := server.Build(ctx, o.root, filepath.Join(o.root, "bench"), "bench/answerer", "./cmd/answerer", "-trimpath")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return fmt.Errorf("make a folder for configurations: %w", err)
	}
	// Programs that give up root must find their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for configurations: %w", err)
	}
	if err := proc.PinSelf(layout.Generator); err != nil {
		return err
	}
	backend, err := scenario.StartBackend(answerer, dir, layout.Backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Stop()) }()
	s.Bench = &scenario.Bench{
		Settings: o.settings, Layout: layout, Backend: backend, Tool: load.Tool{Path: generator, CPUs: layout.Generator}, Dir: dir,
	}
	if o.settings.Turns >= turnsMin { // a look has no time to wait for the host
		s.Distance = func() (time.Duration, error) { return proc.Distance(layout.Server[0], layout.Generator[0]) }
	}
	estimate := s.Estimate()
	if o.limit > 0 {
		estimate = min(estimate, o.limit)
	}
	log("this takes about %v; logs of programs that fail are in %s", estimate.Round(time.Second), dir)
	if err := s.Run(ctx, r); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	for _, row := range allRows(r) {
		if len(row.Notes) > 0 {
			return nil // the folder has logs that explain them
		}
	}
	return os.RemoveAll(dir)
}

func allRows(r *report.Results) []report.Row {
	var rows []report.Row
	for _, s := range r.Scenarios {
		rows = append(rows, s.Rows...)
	}
	return rows
}

// remarks are what a reader of the figures must know about this run.
func remarks(r *report.Results) []string {
	var notes []string
	if len(r.Layout.All) == 2 {
		notes = append(notes, "two CPUs: generator and backend share one, so queries/s of misses are bound by it; CPU per query is the figure. (j) needs four CPUs and was not run.")
	} else if len(r.Layout.All) < 4 {
		notes = append(notes, "(j) needs four CPUs and was not run.")
	}
	if r.Settings.Quick {
		notes = append(notes, "-quick: dnsdist as shipped, unbound, CoreDNS and dnsproxy were measured in (a) only.")
	}
	if r.Settings.Turns < turnsMin {
		notes = append(notes, fmt.Sprintf("%d turns of %v: a look, no measurement.", r.Settings.Turns, r.Settings.Full))
	}
	if r.Machine.LoadAverage > 0.5 {
		notes = append(notes, fmt.Sprintf("load average %.2f before the run: others were using this machine.", r.Machine.LoadAverage))
	}
	return append(notes, "the backend is bench/cmd/answerer (Go): one A record at once; UDP in batches of 64, TCP and TLS a write per read, DoQ and DoH by quic-go and net/http, DoQ answers that are due together sharing packets.")
}

// publish prints the results, and keeps them.
func publish(o *options, r *report.Results) error {
	r.Summarize()
	if err := r.WriteText(os.Stdout); err != nil {
		return err
	}
	if !o.keep && o.out == "" {
		return nil
	}
	dir := o.out
	if dir == "" {
		dir = filepath.Join(o.root, "bench/results", r.Started.Format("2006-01-02-1504")+"-"+r.Commit)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	if err := errors.Join(r.WriteJSON(filepath.Join(dir, "results.json")), r.WritePlot(filepath.Join(dir, "cpu.png"))); err != nil {
		return err
	}
	log("kept in %s", dir)
	if o.out != "" {
		return nil
	}
	folder, err := filepath.Rel(filepath.Join(o.root, "bench"), dir)
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	return r.UpdateReadme(filepath.Join(o.root, "bench/README.md"), folder)
}

// render judges and prints an earlier run again; with -out also its files.
func render(o *options) error {
	r, err := report.ReadJSON(o.render)
	if err != nil {
		return err
	}
	o.keep = false
	return publish(o, r)
}
