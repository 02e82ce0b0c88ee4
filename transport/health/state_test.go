package health

import (
	"errors"
	"testing"
)

// clock is virtual time: tests move it by hand.
type clock struct{ now int64 }

func (c *clock) read() int64 { return c.now }

func TestFailuresInARowTakeDown(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	for range FailuresMax - 1 {
		s.Failed(c.now)
	}
	if got := s.Status(); got == Down {
		t.Fatalf("after %d failures: %v, want not down", FailuresMax-1, got)
	}
	s.Succeeded(c.now, 0)
	s.Failed(c.now)
	if got := s.Status(); got != Up {
		t.Fatalf("an answer must reset the count: %v", got)
	}
	for range FailuresMax {
		s.Failed(c.now)
	}
	if got := s.Status(); got != Down {
		t.Fatalf("after %d failures in a row: %v, want down", FailuresMax, got)
	}
	if s.Reason() == nil {
		t.Fatal("down without a reason")
	}
}

func TestRestLetsOneTrialThrough(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	s.Down(errors.New("refused"))
	if s.Status() != Down {
		t.Fatalf("status %v, want down", s.Status())
	}
	if s.Allow(c.now) {
		t.Fatal("allowed during the rest")
	}
	c.now += RestMinNS
	if !s.Allow(c.now) {
		t.Fatal("no trial after the rest")
	}
	if s.Allow(c.now) {
		t.Fatal("a second trial at the same time")
	}
	s.Succeeded(c.now, 0)
	if s.Status() != Up || !s.Allow(c.now) || !s.Allow(c.now) {
		t.Fatal("a good trial must end the rest")
	}
}

func TestRestGrowsToItsMaximum(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	s.Down(errors.New("refused"))
	var longest int64
	for range 20 {
		start := c.now
		for !s.Allow(c.now) {
			c.now += 10e6
		}
		longest = max(longest, c.now-start)
		s.Failed(c.now)
	}
	if longest < RestMinNS*4 || longest > RestMaxNS+10e6 {
		t.Fatalf("longest wait %d ns, want growth up to %d", longest, int64(RestMaxNS))
	}
}

func TestConnectionFailureBesideAnswersIsNoOutage(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	s.Succeeded(c.now, 0)
	c.now += RecentSuccessNS / 2
	s.Down(errors.New("refused"))
	if s.Status() != Up {
		t.Fatalf("status %v, want up: it answered half a second ago", s.Status())
	}
	c.now += RecentSuccessNS
	s.Down(errors.New("refused again"))
	if s.Status() != Down || s.Reason().Error() != "refused again" {
		t.Fatalf("status %v reason %v", s.Status(), s.Reason())
	}
}

func TestWorkerCallsAllocateNothing(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	if n := testing.AllocsPerRun(100, func() {
		s.Failed(c.now)
		s.Allow(c.now)
		s.Succeeded(c.now, 0)
	}); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func TestConnectionAloneDoesNotEndDown(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	s.Up()
	if s.Status() != Up {
		t.Fatalf("the first connection: %v, want up", s.Status())
	}
	s.Down(errors.New("timed out"))
	s.Up()
	if s.Status() != Down {
		t.Fatalf("a connection without an answer: %v, want down", s.Status())
	}
	if !s.Allow(c.now) {
		t.Fatal("a connection must end the rest")
	}
	s.Succeeded(c.now, 0)
	if s.Status() != Up {
		t.Fatalf("after an answer: %v, want up", s.Status())
	}
}
