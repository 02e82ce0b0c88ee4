package health

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is virtual time: tests move it by hand.
type clock struct{ now int64 }

func (c *clock) read() int64 { return c.now }

func TestWorkerCallsAllocateNothing(t *testing.T) {
	for _, mode := range []Mode{Passive, Lazy, Active} {
		c := &clock{now: 10e9}
		s := New(c.read)
		cfg := Default()
		cfg.Mode, cfg.SlowStart, cfg.SlowAfter, cfg.Samples = mode, time.Second, 50*time.Millisecond, 5
		s.Configure(c.now, cfg)
		// All ways of a worker through all states: up, suspect, down, trial, recovering.
		if n := testing.AllocsPerRun(100, func() {
			for _, step := range []int64{1e6, 300e6, 2e9} {
				for range 4 {
					c.now += step
					s.Failed(c.now)
					s.Eligible(c.now)
					s.Share(c.now)
				}
				s.Allow(c.now)
				s.Declined(c.now, 1e6)
				c.now += step
				if mode == Active { // no live trials: it comes back by a probe
					s.Probed(c.now, ProbeGood, 1e6, nil)
				}
				s.Allow(c.now)
				s.Succeeded(c.now, 1e6)
				s.Succeeded(c.now, 60e6)
				s.Status()
			}
		}); n != 0 {
			t.Errorf("mode %d: %v allocations, want 0", mode, n)
		}
		if f := s.Figures(); f.Entered[Down] == 0 || f.Entered[Recovering] == 0 || f.Entered[Suspect] == 0 {
			t.Errorf("mode %d: the states were not visited: %v", mode, f.Entered)
		}
	}
}

// TestUnreadTransitions: a reader who comes late gets the newest changes, and is told how many are missing.
func TestUnreadTransitions(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	const laps = 20
	for range laps {
		c.now += 10e9
		s.Down(errors.New("refused"))
		c.now += 10e9
		s.Allow(c.now)
		s.Succeeded(c.now, 0)
	}
	list, dropped := s.Transitions(nil)
	if len(list) != transitionsMax || dropped != 2*laps-transitionsMax {
		t.Errorf("got %d changes and %d dropped, want %d and %d", len(list), dropped, transitionsMax, 2*laps-transitionsMax)
	}
	if last := list[len(list)-1]; last.At != c.now || last.To != Up {
		t.Errorf("the last is %+v, want up at %d", last, c.now)
	}
	if list, dropped = s.Transitions(nil); len(list) != 0 || dropped != 0 {
		t.Errorf("read again: %v, %d", list, dropped)
	}
	if f := s.Figures(); f.Entered[Up] != laps || f.Entered[Down] != laps {
		t.Errorf("counted %v, want %d each of up and down", f.Entered, laps)
	}
}

// TestShareOfSampledAnswers: far more answers than are counted one by one still give the right percentage.
func TestShareOfSampledAnswers(t *testing.T) {
	var w window
	const grain = int64(time.Second)
	random := rand.New(rand.NewPCG(1, 2))
	now, answered, failed := int64(100e9), int64(0), int64(0)
	for now < 109e9 {
		now += 20_000 + random.Int64N(20_000) // turns
		for range 1 + random.IntN(32) {
			if random.IntN(10) == 0 {
				failed++
				cell, epoch := w.cell(now, grain)
				add(&cell.failed, epoch, 1)
			} else {
				answered++
				w.answer(now, grain)
			}
		}
	}
	got := w.sum(now, grain)
	if got.failed != failed {
		t.Errorf("%d failures, want %d: they are all counted", got.failed, failed)
	}
	if off := got.answered - answered; off < -answered/50 || off > answered/50 {
		t.Errorf("%d answers counted, want %d within 2 %%", got.answered, answered)
	}
	if later := w.sum(now+20e9, grain); later != (counts{}) {
		t.Errorf("20 s later: %+v, want nothing", later)
	}
}

// TestManyCallers: all calls at once from many goroutines, under the race detector; whatever happens, the state ends up right.
func TestManyCallers(t *testing.T) {
	start := time.Now()
	now := func() int64 { return int64(time.Since(start)) + 10e9 }
	s := New(now)
	cfg := Default()
	cfg.RestMin, cfg.RestMax, cfg.Mode = 10*time.Millisecond, 20*time.Millisecond, Lazy
	s.Configure(now(), cfg)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 20_000 {
				at := now()
				if s.Eligible(at) && !s.Allow(at) {
					continue
				}
				switch s.Share(at); random.IntN(8) {
				case 0, 1, 2:
					s.Failed(at)
				case 3:
					s.Declined(at, 1e6)
				default:
					s.Succeeded(at, 1e6)
				}
			}
		})
	}
	group.Go(func() {
		for i := range 2000 {
			switch i % 5 {
			case 0:
				s.Down(errors.New("refused"))
			case 1:
				s.Up()
			case 2:
				s.Probed(now(), ProbeTimeout, 0, errors.New("timeout"))
			case 3:
				s.Probed(now(), ProbeGood, 1e6, nil)
			case 4:
				c := cfg
				c.Manual = Manual(i % 4)
				s.Configure(now(), c)
			}
			s.Transitions(nil)
			s.ProbeAt()
			_ = s.Reason()
			s.Figures()
		}
	})
	group.Wait()
	cfg.Manual = Auto
	s.Configure(now(), cfg)
	for at := now() + 60e9; s.Status() != Up; at += 1e9 { // nothing that happened keeps a good upstream out for ever
		if at > now()+600e9 {
			t.Fatalf("still %v, %v", s.Status(), s.Reason())
		}
		if s.Allow(at) {
			s.Succeeded(at, 1e6)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	good := Default()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Config){
		"failures 0":    func(c *Config) { c.Failures = 0 },
		"successes 0":   func(c *Config) { c.Successes = 0 },
		"window 1ms":    func(c *Config) { c.Window = time.Millisecond },
		"samples 0":     func(c *Config) { c.Samples = 0 },
		"budget 101":    func(c *Config) { c.Budget = 101 },
		"slow after -":  func(c *Config) { c.SlowAfter = -1 },
		"slow percent":  func(c *Config) { c.SlowPercent = 0 },
		"shortest rest": func(c *Config) { c.RestMin = 0 },
		"longest rest":  func(c *Config) { c.RestMax = c.RestMin - 1 },
		"slow start":    func(c *Config) { c.SlowStart = -1 },
		"interval":      func(c *Config) { c.Interval = 0 },
		"mode":          func(c *Config) { c.Mode = Active + 1 },
		"manual":        func(c *Config) { c.Manual = Drain + 1 },
	} {
		c := Default()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c := Config{}
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "\n") < 5 {
		t.Errorf("the zero Config: got %v, want every problem", err)
	}
}

// BenchmarkSucceeded is what an answer costs while all is well.
func BenchmarkSucceeded(b *testing.B) {
	s := New(func() int64 { return 0 })
	now := int64(10e9)
	for b.Loop() {
		now += 1000
		s.Succeeded(now, 1e6)
	}
}

// BenchmarkSucceededParallel is the same from many threads at once.
func BenchmarkSucceededParallel(b *testing.B) {
	s := New(func() int64 { return 0 })
	b.RunParallel(func(pb *testing.PB) {
		now := int64(10e9)
		for pb.Next() {
			now += 1000
			s.Succeeded(now, 1e6)
		}
	})
}
