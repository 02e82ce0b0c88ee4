package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/pace"
	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/stream"
	"secure-dns-proxy/tools/dnsload/tally"
	"secure-dns-proxy/tools/dnsload/udp"
)

// A sender is one thread's, or one set of connections', part of the run.
type sender interface {
	// Run sends as planned, calls sent when it will send no more, and returns when every query is answered or lost.
	Run(plan pace.Plan, sent func()) error
	Stop()       // any goroutine: send no more
	Thread() int // any goroutine: the thread it has locked, 0 if none
}

// load is one run.
type load struct {
	options *options
	clock   pace.Clock
	plan    pace.Plan // of the whole run
	senders []sender
	counts  []tally.Counts
	lives   []tally.Live
}

// newLoad pins the process and opens the sockets.
func newLoad(o *options) (*load, error) {
	if len(o.cpus) > 0 {
		if err := pinProcess(o.cpus); err != nil {
			return nil, err
		}
	}
	corpus, err := query.New(o.corpus)
	if err != nil {
		return nil, err
	}
	l := &load{options: o, clock: pace.NewClock()}
	if o.transport != "udp" {
		err = l.openStreams(corpus)
	} else {
		err = l.openUDP(corpus)
	}
	return l, err
}

func (l *load) openUDP(corpus *query.Corpus) error {
	o, n := l.options, l.options.senders()
	// A sender does not give its place up while it waits for a short time; one place more is for the rest of the program.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), n+1))
	l.counts, l.lives = make([]tally.Counts, n), make([]tally.Live, n)
	for i := range n {
		cfg := udp.Config{
			Target: o.target, Sources: o.sources, Flows: part(o.flows, i, n), Window: part(o.window, i, n),
			CPU: -1, Segment: o.segment, Spin: o.spin,
		}
		if len(o.cpus) > 0 {
			cfg.CPU = o.cpus[i]
		}
		s, err := udp.New(cfg, l.clock, corpus.Generator(i, n), &l.counts[i], &l.lives[i])
		if err != nil {
			return err
		}
		l.senders = append(l.senders, s)
	}
	return nil
}

func (l *load) openStreams(corpus *query.Corpus) error {
	o := l.options
	cfg := stream.Config{Target: o.target, Sources: o.sources, Conns: o.flows, Window: o.window}
	if o.transport == "dot" {
		var err error
		if cfg.TLS, err = o.tlsConfig(); err != nil {
			return err
		}
	}
	if len(o.cpus) > 0 {
		// No more than can run: waking an idle processor costs more than it gives. One more keeps the time in open loop.
		runtime.GOMAXPROCS(len(o.cpus) + 1)
	}
	l.counts, l.lives = make([]tally.Counts, 1), make([]tally.Live, 1)
	p, err := stream.New(cfg, l.clock, corpus, &l.counts[0], &l.lives[0])
	if err != nil {
		return err
	}
	l.senders = []sender{p}
	return nil
}

// part is the i-th of n nearly equal parts of whole.
func part(whole, i, n int) int {
	p := whole / n
	if i < whole%n {
		p++
	}
	return p
}

// begin makes the timetable, from shortly after now.
func (l *load) begin() {
	o := l.options
	l.plan = pace.Plan{Count: o.count, Rate: o.rate, Timeout: o.timeout, To: pace.Forever}
	l.plan.Start = l.clock.Now() + int64(startDelay)
	l.plan.From = l.plan.Start + int64(o.warmup)
	if o.duration > 0 {
		l.plan.To = l.plan.From + int64(o.duration)
	}
}

// run lets the senders run and reports what they saw.
func (l *load) run(ctx context.Context, terminal *os.File) (*tally.Report, error) {
	stop := context.AfterFunc(ctx, l.stop)
	defer stop()
	var last tally.Usage
	var lastFault error
	var ended int64
	var sending atomic.Int64
	sending.Store(int64(len(l.senders)))
	sent := make(chan struct{})
	done := func() {
		if sending.Add(-1) == 0 { // on the sender's thread, which still exists
			ended = l.clock.Now()
			last, lastFault = tally.ReadUsage(l.threads())
			close(sent)
		}
	}
	l.begin()
	var running sync.WaitGroup
	faults := make([]error, len(l.senders))
	for i, s := range l.senders {
		running.Go(func() {
			once := sync.OnceFunc(done)
			if faults[i] = s.Run(l.plan.Part(i, len(l.senders)), once); faults[i] != nil {
				l.stop() // half a load is no measurement
			}
			once()
		})
	}
	watching, seen := context.WithCancel(context.Background())
	defer seen()
	if !l.options.quiet && isTerminal(terminal) {
		go l.showProgress(watching, terminal)
	}

	select {
	case <-time.After(time.Duration(l.plan.From - l.clock.Now())):
	case <-sent:
	}
	first, err := tally.ReadUsage(l.threads())
	<-sent
	if last.Before(first) { // a run so short that it was over before this goroutine woke
		first = last
	}
	running.Wait()
	if err := errors.Join(append(faults, err, lastFault)...); err != nil {
		return nil, err
	}
	return l.report(first, last, ended), nil
}

func (l *load) stop() {
	for _, s := range l.senders {
		s.Stop()
	}
}

// threads are those that senders have locked.
func (l *load) threads() []int {
	var tids []int
	for _, s := range l.senders {
		if tid := s.Thread(); tid != 0 {
			tids = append(tids, tid)
		}
	}
	return tids
}

func (l *load) report(first, last tally.Usage, ended int64) *tally.Report {
	o := l.options
	total := &tally.Counts{}
	for i := range l.counts {
		total.Merge(&l.counts[i])
	}
	end := l.plan.To
	if ended < end { // by its count, its names, or a signal
		end = max(total.LastNs, l.plan.From)
	}
	set := tally.Setting{
		Target: o.target.String(), Transport: o.transport, Mode: "closed", Window: o.window, Rate: o.rate, Flows: o.flows,
		Spin: o.spin, CPUs: max(1, len(o.cpus)), Names: o.names, Seed: o.corpus.Seed,
	}
	if o.rate > 0 {
		set.Mode = "open"
	}
	if o.transport != "udp" && len(o.cpus) == 0 {
		set.CPUs = runtime.NumCPU()
	}
	m := tally.Measurement{
		Started: l.clock.Wall(l.plan.From), Seconds: time.Duration(end - l.plan.From).Seconds(), First: first, Last: last,
	}
	return tally.NewReport(set, m, total)
}

// pinProcess puts every thread of the process on the given CPUs; threads made later inherit it. The runtime's own threads
// thus stay off the server's CPU.
func pinProcess(cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	for _, path := range threads {
		tid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return fmt.Errorf("thread %s: %w", path, err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("-cpu %v: %w", cpus, err)
		}
	}
	return nil
}
