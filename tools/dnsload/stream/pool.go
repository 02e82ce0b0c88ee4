package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/pace"
	"secure-dns-proxy/tools/dnsload/pending"
	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/tally"
)

// Config is one run's connections.
type Config struct {
	Target  netip.AddrPort
	Sources []netip.Addr // local addresses, connections take turns; empty: the kernel's choice
	Conns   int          // 1..ConnsMax
	Window  int          // queries outstanding at most, Conns..Conns*OutstandingPerConnMax
	TLS     *tls.Config  // nil: plain TCP
}

// Pool is the connections of a run.
type Pool struct {
	cfg     Config
	clock   pace.Clock
	plan    pace.Plan
	counts  *tally.Counts
	live    *tally.Live
	conns   []*conn
	stopped atomic.Bool
	sending atomic.Int64 // connections that are not over
	sent    func()
	allSent chan struct{}
	fault   func(error) // cancels the run
}

// New opens the connections. counts is written when Run returns.
func New(cfg Config, clock pace.Clock, corpus *query.Corpus, counts *tally.Counts, live *tally.Live) (*Pool, error) {
	if cfg.Conns < 1 || cfg.Conns > ConnsMax {
		return nil, fmt.Errorf("%d connections, want 1 to %d", cfg.Conns, ConnsMax)
	}
	if cfg.Window < cfg.Conns || cfg.Window > cfg.Conns*OutstandingPerConnMax {
		return nil, fmt.Errorf("window %d with %d connections, want %d to %d", cfg.Window, cfg.Conns, cfg.Conns, cfg.Conns*OutstandingPerConnMax)
	}
	p := &Pool{cfg: cfg, clock: clock, counts: counts, live: live, allSent: make(chan struct{})}
	for i := range cfg.Conns {
		window := cfg.Window / cfg.Conns
		if i < cfg.Window%cfg.Conns {
			window++
		}
		table, err := pending.New(window)
		if err != nil {
			return nil, err
		}
		p.conns = append(p.conns, &conn{
			pool: p, index: i, table: table, generator: corpus.Generator(i, cfg.Conns), wake: make(chan struct{}, 1),
			out: make([]byte, 0, writeBytes),
		})
	}
	return p, p.dialAll()
}

// dialAll opens every connection, some at a time; if one cannot be opened, none is left open.
func (p *Pool) dialAll() error {
	faults := make([]error, len(p.conns))
	places := make(chan struct{}, dialsAtOnce)
	var all sync.WaitGroup
	for i, c := range p.conns {
		places <- struct{}{}
		all.Go(func() {
			faults[i] = c.dial(context.Background())
			<-places
		})
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			for _, c := range p.conns {
				c.hangUp()
			}
			return err
		}
	}
	return nil
}

// Stop makes Run send no more queries and return once those outstanding are answered or lost. Safe from any goroutine.
func (p *Pool) Stop() { p.stopped.Store(true) }

// Thread is 0: no one thread does the work.
func (p *Pool) Thread() int { return 0 }

// Run sends and receives as planned, calls sent once when it will send no more, unless it fails before, and returns when
// every query is answered or lost.
func (p *Pool) Run(plan pace.Plan, sent func()) error {
	p.plan, p.sent = plan, sent
	p.sending.Store(int64(len(p.conns)))
	ctx, cancel := context.WithCancelCause(context.Background())
	p.fault = cancel
	time.Sleep(time.Duration(plan.Start - p.clock.Now()))
	var running, helpers sync.WaitGroup
	for _, c := range p.conns {
		c.plan = plan.Part(c.index, len(p.conns))
		c.signal()
		running.Go(func() {
			if err := c.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	ended := make(chan struct{})
	helpers.Go(func() { p.everyTick(ctx, ended) })
	if plan.Rate > 0 {
		helpers.Go(p.keepTime)
	}
	running.Wait()
	close(ended)
	p.Stop() // a fault may leave the timekeeper running
	helpers.Wait()
	for _, c := range p.conns {
		p.counts.Merge(&c.counts)
	}
	p.show()
	return context.Cause(ctx)
}

// everyTick gives up lost queries, wakes writers whose end has come, and shows the counts, until ended. Once the run has
// failed it closes whatever is open.
func (p *Pool) everyTick(ctx context.Context, ended <-chan struct{}) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticks.C:
		}
		now := p.clock.Now()
		for _, c := range p.conns {
			if ctx.Err() != nil {
				c.abandon()
			} else {
				c.expire(now)
			}
		}
		p.show()
	}
}

// keepTime wakes each connection's writer when a query is due on it.
func (p *Pool) keepTime() {
	runtime.LockOSThread() // never unlocked: the thread's slack ends with it
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		p.fault(fmt.Errorf("set timer slack: %w", err))
		return
	}
	for k := uint64(0); !p.stopped.Load() && p.sending.Load() > 0; {
		now := p.clock.Now()
		due := p.plan.Due(min(now, p.plan.To-1))
		// Late by more than a round: wake everybody once.
		for range min(due-k, uint64(len(p.conns))) {
			p.conns[k%uint64(len(p.conns))].signal()
			k++
		}
		k = max(k, due)
		wait := min(p.plan.At(k)-p.clock.Now(), int64(tick))
		if wait > 0 {
			pause := unix.NsecToTimespec(wait)
			if err := unix.Nanosleep(&pause, nil); err != nil && !errors.Is(err, unix.EINTR) {
				p.fault(fmt.Errorf("nanosleep: %w", err))
				return
			}
		}
	}
}

// over is called once by each connection when it will send no more.
func (p *Pool) over() {
	if p.sending.Add(-1) == 0 {
		p.sent()
	}
}

func (p *Pool) show() {
	var sent, answered, lost uint64
	for _, c := range p.conns {
		c.lock.Lock()
		sent, answered, lost = sent+c.sent, answered+c.answered, lost+c.lost
		c.lock.Unlock()
	}
	p.live.Sent.Store(sent)
	p.live.Answered.Store(answered)
	p.live.Lost.Store(lost)
}
