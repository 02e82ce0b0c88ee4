package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/pace"
	"secure-dns-proxy/tools/dnsload/pending"
	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/tally"
)

// Config is one sender's part of a run.
type Config struct {
	Target  netip.AddrPort
	Sources []netip.Addr // local addresses, flows take turns; empty: the kernel's choice
	Flows   int          // 1..FlowsMax
	Window  int          // queries outstanding at most, Flows..Flows*OutstandingPerFlowMax
	CPU     int          // to pin the thread to; -1: none
	Segment bool         // several queries in one message, see outbox
	Spin    bool         // never sleep: exact times, for a whole CPU
}

// Sender is one thread's state. Everything but Stop and the Live belongs to the goroutine that calls Run.
type Sender struct {
	plan      pace.Plan
	clock     pace.Clock
	generator *query.Generator
	counts    *tally.Counts
	live      *tally.Live
	stopped   atomic.Bool
	thread    atomic.Int64
	cpu       int

	flows    []flow
	poll     *poll
	out      *outbox
	in       *inbox
	open     bool // open loop
	spin     bool
	sweeps   bool   // reads flow after flow instead of asking which have something
	few      int    // a sweep with fewer answers than this is followed by a doze
	heard    int    // datagrams in the last sweep
	nextFlow int    // open loop: to send on
	reading  int    // index of the flow that the next sweep begins with
	due      uint64 // open loop: index of the next query to send
	full     bool   // open loop: queries are due, but every flow's window is full
	over     bool   // no more queries will be sent
	sent     uint64 // in all, for live
	answered uint64
	lost     uint64
	tickAt   int64
	expireAt int64 // open loop: when lost queries are looked for again
	fault    error
}

// New opens the sockets of a sender. counts and live are its own until Run has returned.
func New(cfg Config, clock pace.Clock, g *query.Generator, counts *tally.Counts, live *tally.Live) (*Sender, error) {
	if cfg.Flows < 1 || cfg.Flows > FlowsMax {
		return nil, fmt.Errorf("%d flows, want 1 to %d", cfg.Flows, FlowsMax)
	}
	if cfg.Window < cfg.Flows || cfg.Window > cfg.Flows*OutstandingPerFlowMax {
		return nil, fmt.Errorf("window %d with %d flows, want %d to %d", cfg.Window, cfg.Flows, cfg.Flows, cfg.Flows*OutstandingPerFlowMax)
	}
	s := &Sender{clock: clock, generator: g, counts: counts, live: live, cpu: cfg.CPU, spin: cfg.Spin}
	s.sweeps = !s.spin && cfg.Window >= dozeWindow
	s.few = cfg.Window / dozeShare
	if err := s.openAll(cfg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Sender) openAll(cfg Config) (err error) {
	if s.poll, err = newPoll(); err != nil {
		return err
	}
	if s.out, err = newOutbox(cfg.Segment); err != nil {
		return err
	}
	if s.in, err = newInbox(); err != nil {
		return err
	}
	s.flows = make([]flow, 0, cfg.Flows)
	for i := range cfg.Flows {
		var source netip.Addr
		if len(cfg.Sources) > 0 {
			source = cfg.Sources[i%len(cfg.Sources)]
		}
		// The window is spread as evenly as it goes.
		window := cfg.Window / cfg.Flows
		if i < cfg.Window%cfg.Flows {
			window++
		}
		table, err := pending.New(window)
		if err != nil {
			return err
		}
		fd, err := dial(cfg.Target, source)
		if err != nil {
			return err
		}
		s.flows = append(s.flows, flow{fd: int32(fd), table: table})
	}
	return nil
}

func (s *Sender) close() error {
	var errs []error
	for i := range s.flows {
		errs = append(errs, unix.Close(int(s.flows[i].fd)))
	}
	if s.poll != nil {
		errs = append(errs, unix.Close(s.poll.fd))
	}
	if s.out != nil {
		errs = append(errs, unix.Munmap(s.out.memory))
	}
	if s.in != nil {
		errs = append(errs, unix.Munmap(s.in.memory))
	}
	return errors.Join(errs...)
}

// Stop makes Run send no more queries and return once those outstanding are answered or lost. Safe from any goroutine.
func (s *Sender) Stop() { s.stopped.Store(true) }

// Thread is the id of the thread that Run runs on, 0 before. Safe from any goroutine.
func (s *Sender) Thread() int { return int(s.thread.Load()) }

// Run sends and receives as planned, calls sent once when it will send no more, unless it fails before, and returns when
// every query is answered or lost.
func (s *Sender) Run(plan pace.Plan, sent func()) error {
	runtime.LockOSThread() // never unlocked: the thread's pinning and slack end with it
	s.thread.Store(int64(unix.Gettid()))
	if err := errors.Join(s.begin(plan), s.tune()); err != nil {
		return errors.Join(err, s.close())
	}
	time.Sleep(time.Duration(s.plan.Start - s.clock.Now()))
	told := false
	for s.turn() {
		if s.over && !told {
			told = true
			sent()
		}
	}
	if !told && s.fault == nil {
		sent()
	}
	s.show()
	return errors.Join(s.fault, s.close())
}

// begin takes the plan, and watches the flows where it will wait for them: a server's thread has work with each answer to a socket
// that is watched.
func (s *Sender) begin(plan pace.Plan) error {
	s.plan, s.open = plan, plan.Rate > 0
	if s.open && plan.Rate < sweepRate {
		s.sweeps = false
	}
	if s.sweeps {
		return nil
	}
	for i := range s.flows {
		if err := s.poll.add(s.flows[i].fd, i); err != nil {
			return err
		}
	}
	return nil
}

// tune pins the thread and asks for exact timers: the default slack of 50 us would add to every wait.
func (s *Sender) tune() error {
	if s.cpu >= 0 {
		var set unix.CPUSet
		set.Set(s.cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin to CPU %d: %w", s.cpu, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	return nil
}

// turn is one lap: send what is due, wait, read and refill the flows that have something. It returns false at the end.
func (s *Sender) turn() bool {
	now := s.clock.Now()
	if now >= s.tickAt {
		s.everyTick(now)
	}
	if !s.over {
		if s.open {
			s.sendDue(now)
		} else if now >= s.plan.To {
			s.over = true
		}
	}
	if s.fault != nil || s.over && s.outstanding() == 0 {
		return false
	}
	if s.sweeps {
		s.sweep()
		return s.fault == nil
	}
	n := s.await()
	for i := range n {
		s.serve(&s.flows[s.poll.flow(i)])
	}
	return s.fault == nil
}

// sweep reads flow after flow: servers answer much in the order in which they are asked, and that is the order in which flows were read
// and refilled. It ends after emptyMax flows in a row that have nothing, and the next one begins with these. If nothing was heard at all it
// begins after them: their queries may be lost. If the last one heard little, and no query will be due soon, it dozes first.
func (s *Sender) sweep() {
	if s.heard < s.few && (!s.open || s.over || s.full) {
		s.poll.doze(dozePause)
	}
	s.heard = 0
	at, empty := s.reading, 0
	for range s.flows {
		f, before := &s.flows[at], s.heard
		if at++; at == len(s.flows) {
			at = 0
		}
		if f.table.Len() == 0 {
			continue
		}
		s.serve(f)
		if s.heard > before {
			s.reading, empty = at, 0
		} else if empty++; empty == emptyMax {
			break
		}
	}
	if s.heard == 0 {
		s.reading = at
	}
}

// await waits for flows to read, as long as nothing else is to be done.
func (s *Sender) await() int {
	n, errno := s.poll.ready(0)
	if n == 0 && errno == 0 && !s.spin {
		until := s.tickAt
		if s.open && !s.over && !s.full {
			until = min(until, s.plan.At(s.due))
		}
		if wait := until - s.clock.Now(); wait > 0 {
			n, errno = s.poll.ready(time.Duration(wait))
		}
	}
	if errno != 0 {
		s.fail("epoll_pwait", errno)
	}
	return n
}

// everyTick gives up lost queries, fills windows that have room, and shows the counts.
func (s *Sender) everyTick(now int64) {
	s.tickAt = now + int64(tick)
	if s.stopped.Load() {
		s.over = true
	}
	if s.open && now < s.expireAt {
		s.show()
		return
	}
	s.expireAt = now + max(int64(tick), int64(s.plan.Timeout)/lossShare)
	for i := range s.flows {
		f := &s.flows[i]
		all, counted := f.table.Expire(now-int64(s.plan.Timeout), s.plan.From)
		s.lost += uint64(all)
		s.counts.Lost += uint64(counted)
		if counted > 0 {
			s.counts.LastNs = now
		}
		if !s.open && !s.over {
			s.refill(f, now)
		}
	}
	s.show()
}

func (s *Sender) outstanding() int {
	n := 0
	for i := range s.flows {
		n += s.flows[i].table.Len()
	}
	return n
}

func (s *Sender) unreachable(now int64) {
	if s.plan.Measured(now) {
		s.counts.Unreachable++
	}
}

func (s *Sender) show() {
	s.live.Sent.Store(s.sent)
	s.live.Answered.Store(s.answered)
	s.live.Lost.Store(s.lost)
}

func (s *Sender) fail(call string, errno syscall.Errno) {
	if s.fault == nil {
		s.fault = fmt.Errorf("%s: %w", call, errno)
	}
}
