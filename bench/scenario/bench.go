package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/server"
)

// Settings are how thoroughly everything is measured.
type Settings struct {
	Turns int           `json:"turns"`
	Full  time.Duration `json:"full_ns"` // of a closed-loop run
	Half  time.Duration `json:"half_ns"` // of an open-loop run
	// Entries is the size of the caches that (h) and (b) fill; the is a million, less only in a quick run.
	Entries int `json:"entries"`
	// Quick leaves the slower peers out of all scenarios but (a).
	Quick bool `json:"quick"`
}

// Bench is what all scenarios need.
type Bench struct {
	Settings
	Layout  Layout
	Backend *Backend
	Tool    load.Tool
	Dir     string // for configurations and logs; each process gets a folder in it

	runs  uint64 // that wanted names of their own
	seeds uint64 // of runs: no two draw the same names in the same order
	procs int
}

// Layout says who runs where.
type Layout struct {
	Server    []int `json:"server"` // one CPU, except where workers are varied
	Generator []int `json:"generator"`
	Backend   []int `json:"backend"`
	All       []int `json:"all"`
}

// NewLayout divides the CPUs. With two, generator and backend share the second: CPU time per query stays exact, queries per
// second of misses are then bound by that CPU.
func NewLayout(cpus []int) (Layout, error) {
	switch n := len(cpus); {
	case n < 2:
		return Layout{}, fmt.Errorf("%d CPU: server and generator need one each", n)
	case n == 2:
		return Layout{Server: cpus[:1], Generator: cpus[1:], Backend: cpus[1:], All: cpus}, nil
	default:
		return Layout{Server: cpus[:1], Generator: cpus[1:2], Backend: cpus[2:min(n, 4)], All: cpus}, nil
	}
}

// newNames sets numbers aside that no run has asked before.
func (b *Bench) newNames() uint64 {
	b.runs++
	// The numbers start again after 40 runs; each process has seen at most a few of them, and is gone by then.
	return 10_000_000 + b.runs%40*namesPerRun
}

// Turn is one turn of one program.
type Turn struct {
	*Bench
	Number  int // from 0
	Program *server.Program
	process *server.Process
	env     []string // of processes started from now on
}

// start runs the program with the given upstream and cache on the server's CPUs.
func (t *Turn) start(ctx context.Context, scheme server.Scheme, cache server.Cache) error {
	return t.startWorkers(ctx, scheme, cache, t.Layout.Server)
}

func (t *Turn) startWorkers(ctx context.Context, scheme server.Scheme, cache server.Cache, cpus []int) error {
	t.procs++
	dir := filepath.Join(t.Dir, fmt.Sprintf("%04d-%s", t.procs, t.Program.ID))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("start %s: %w", t.Program.ID, err)
	}
	listen, err := server.FreeAddr()
	if err != nil {
		return err
	}
	control, err := server.FreeAddr()
	if err != nil {
		return err
	}
	t.process, err = server.Start(ctx, t.Program, server.Setup{
		Dir: dir, Listen: listen, Control: control, CPUs: cpus, Workers: len(cpus), Upstream: t.Backend.Upstream(scheme), Cache: cache, Env: t.env,
	})
	return err
}

// Stop ends the turn's program, if it runs, and removes its files; those of a turn that failed are kept.
func (t *Turn) Stop(failed bool) error {
	if t.process == nil {
		return nil
	}
	err := t.process.Stop()
	if !failed && err == nil {
		err = os.RemoveAll(t.process.Setup.Dir)
	}
	return err
}

// measurement is one run of the generator and what server and backend did meanwhile.
type measurement struct {
	report   *load.Report
	cpus     int
	forwards bool
	server   proc.Usage
	backend  proc.Usage
	asked    uint64 // queries that the backend got
}

// measure runs the generator against the turn's program.
func (t *Turn) measure(ctx context.Context, run load.Run) (*measurement, error) {
	run.Target = t.process.Setup.Listen
	if run.Timeout == 0 {
		run.Timeout = lossTimeout
	}
	t.seeds++
	run.Seed = t.seeds
	before, err := t.snapshot()
	if err != nil {
		return nil, err
	}
	report, err := t.Tool.Run(ctx, run)
	if err := errors.Join(err, t.process.Check()); err != nil {
		return nil, err
	}
	after, err := t.snapshot()
	if err != nil {
		return nil, err
	}
	if report.Answered == 0 {
		return nil, fmt.Errorf("%s answered none of %d queries", t.Program.ID, report.Queries)
	}
	return &measurement{
		report: report, cpus: len(t.process.Setup.CPUs), forwards: t.Program.Forwards,
		server: after.server.Since(before.server), backend: after.backend.Since(before.backend), asked: after.asked - before.asked,
	}, nil
}

type snapshot struct {
	server, backend proc.Usage
	asked           uint64
}

func (t *Turn) snapshot() (s snapshot, err error) {
	if s.server, err = proc.ReadUsage(t.process.PID); err != nil {
		return s, errors.Join(t.process.Check(), err)
	}
	if s.backend, err = proc.ReadUsage(t.Backend.PID); err != nil {
		return s, err
	}
	counts, err := t.Backend.Counts()
	s.asked = counts.Total()
	return s, err
}

// sample has the figures of a closed-loop run.
func (m *measurement) sample() figure.Sample {
	answered, us := float64(m.report.Answered), float64(time.Microsecond)
	s := figure.Sample{
		figure.QPS: m.report.QPS, figure.P50: m.report.LatencyUs.P50,
		figure.CPU:    float64(m.server.Total()) / us / answered,
		figure.User:   float64(m.server.User) / us / answered,
		figure.System: float64(m.server.System) / us / answered,
		figure.Busy:   m.server.Total().Seconds() / m.report.Seconds / float64(m.cpus),
		figure.Lost:   m.report.LostShare(), figure.Failed: m.report.FailedShare(),
		figure.Generator: m.report.CPU.Share, figure.Bound: 0,
	}
	if m.forwards {
		s[figure.HitRatio] = max(0, 1-float64(m.asked)/answered)
	}
	if m.report.Bound {
		s[figure.Bound] = 1
	}
	if m.asked > 0 {
		s[figure.Backend] = float64(m.backend.Total()) / us / float64(m.asked)
	}
	return s
}

// addHalf adds the figures of an open-loop run.
func (m *measurement) addHalf(s figure.Sample) {
	s[figure.Half50], s[figure.Half99], s[figure.Half999] = m.report.LatencyUs.P50, m.report.LatencyUs.P99, m.report.LatencyUs.P999
	s[figure.HalfCPU] = float64(m.server.Total()) / float64(time.Microsecond) / float64(m.report.Answered)
	s[figure.HalfLost] = m.report.LostShare()
}

func (t *Turn) addRSS(s figure.Sample) error {
	rss, err := proc.ReadRSS(t.process.PID)
	s[figure.RSS] = float64(rss) / (1 << 20)
	return err
}

// full measures closed loop, then open loop at half of that rate, and memory: what most scenarios do. next makes the runs; it
// is called for each, as names of misses must be new.
func (t *Turn) full(ctx context.Context, next func() load.Run) (figure.Sample, error) {
	run := next()
	run.Duration = t.Full
	m, err := t.measure(ctx, run)
	if err != nil {
		return nil, err
	}
	s := m.sample()
	run = next()
	run.Duration, run.Rate, run.Window = t.Half, m.report.QPS/2, 0
	half, err := t.measure(ctx, run)
	if err != nil {
		return nil, err
	}
	half.addHalf(s)
	return s, t.addRSS(s)
}

// fill asks every name until each was answered once, so that it is cached.
func (t *Turn) fill(ctx context.Context, names int) error {
	return t.fillAs(ctx, names, load.Run{})
}

// fillAs is fill over the transport, and with questions of the type, of a run.
func (t *Turn) fillAs(ctx context.Context, names int, run load.Run) error {
	run.Names, run.Once, run.Window, run.Duration = uint64(names), true, fillWindow, fillTimeout
	for range fillRounds {
		m, err := t.measure(ctx, run)
		if err != nil {
			return fmt.Errorf("fill the cache: %w", err)
		}
		if m.report.Lost == 0 && m.report.FailedShare() == 0 {
			return nil
		}
	}
	return fmt.Errorf("fill the cache: %s did not answer each of %d names within %d rounds", t.Program.ID, names, fillRounds)
}
