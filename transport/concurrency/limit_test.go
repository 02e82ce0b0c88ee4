package concurrency

import (
	"testing"
)

// server is an upstream with a base latency and a number of queries that it works on at the same time; more wait in its queue.
type server struct {
	baseNS, slots int64
	dead          bool
}

// drive offers a steady load for some seconds of virtual time in steps of 10 ms, at most as much as the limit lets through, and returns how
// many queries were shed.
func drive(l *Limit, now *int64, s *server, perSecond, seconds int) (shed int) {
	const step, timeout = 10e6, 1e9
	type query struct {
		done, took int64
		lost       bool
	}
	var under []query
	free := *now // when the server's queue is worked off
	for range seconds * 100 {
		*now += step
		kept := under[:0]
		for i, q := range under {
			switch {
			case q.done > *now:
				kept = append(kept, q)
			case q.lost:
				l.Lost(*now, len(under)-i)
			default:
				l.Answered(*now, q.took, len(under)-i)
			}
		}
		under = kept
		for range perSecond / 100 {
			switch {
			case len(under) >= l.Value():
				shed++
			case s.dead:
				under = append(under, query{done: *now + timeout, lost: true})
			default:
				free = max(free, *now) + s.baseNS/s.slots
				took := free - *now + s.baseNS
				under = append(under, query{done: *now + took, took: took, lost: took > timeout})
			}
		}
	}
	return shed
}

func TestNoLimitWhileAllIsWell(t *testing.T) {
	l, now := New(10_000), int64(1e9)
	s := &server{baseNS: 20e6, slots: 1000}
	if shed := drive(&l, &now, s, 5000, 30); shed != 0 || l.Value() != 10_000 {
		t.Errorf("shed %d, limit %d", shed, l.Value())
	}
}

// TestOverload: an upstream that is offered twice what it can do keeps a bounded queue, and its limit comes back when the load goes.
func TestOverload(t *testing.T) {
	l, now := New(100_000), int64(1e9)
	s := &server{baseNS: 20e6, slots: 100} // 5000 a second
	drive(&l, &now, s, 2000, 10)
	if shed := drive(&l, &now, s, 10_000, 30); shed == 0 {
		t.Error("nothing was shed at twice the capacity")
	}
	if got := l.Value(); got > 5000 {
		t.Errorf("limit %d: more than a second's queue", got)
	}
	drive(&l, &now, s, 2000, 60)
	if shed := drive(&l, &now, s, 2000, 10); shed != 0 {
		t.Errorf("shed %d a minute after the overload", shed)
	}
}

// TestBlackHole: without answers the limit falls to Least within seconds, and is back soon after the answers are.
func TestBlackHole(t *testing.T) {
	l, now := New(100_000), int64(1e9)
	s := &server{baseNS: 20e6, slots: 1000}
	drive(&l, &now, s, 5000, 10)
	s.dead = true
	drive(&l, &now, s, 5000, 5)
	if got := l.Value(); got != Least {
		t.Errorf("5 s without an answer: limit %d, want %d", got, Least)
	}
	s.dead = false
	drive(&l, &now, s, 5000, 10)
	if shed := drive(&l, &now, s, 5000, 5); shed != 0 {
		t.Errorf("10 s after it is back: shed %d, limit %d", shed, l.Value())
	}
}

// TestLatencyThatStays: a network that has become slower is not congestion for ever.
func TestLatencyThatStays(t *testing.T) {
	l, now := New(10_000), int64(1e9)
	s := &server{baseNS: 50e6, slots: 10_000}
	drive(&l, &now, s, 500, 20)
	s.baseNS = 700e6
	drive(&l, &now, s, 500, 120)
	if shed := drive(&l, &now, s, 500, 5); shed != 0 {
		t.Errorf("two minutes later: shed %d, limit %d", shed, l.Value())
	}
}

func TestZeroNeverLimits(t *testing.T) {
	var l Limit
	for range 1000 {
		l.Lost(int64(1e12), 10)
	}
	if l.Value() < 1<<40 {
		t.Errorf("limit %d", l.Value())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	l, now := New(1000), int64(0)
	if n := testing.AllocsPerRun(100, func() {
		now += 1e8
		l.Answered(now, 5e6, 10)
		l.Lost(now, 10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
