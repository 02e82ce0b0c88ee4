package block

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Action is what becomes of a query that is blocked.
type Action uint8

const (
	Drop     Action = iota // no answer
	Refuse                 // REFUSED
	Truncate               // UDP: TC without records, so that real clients come over TCP, where nothing is blocked
	Limit                  // Rate queries a second pass, the others are dropped
	Actions
)

// ActionNames are the names used in the configuration, by value.
var ActionNames = [Actions]string{"drop", "refuse", "truncate", "limit"}

func (a Action) String() string { return ActionNames[a] }

// Entry is one source or name that is blocked. All but the counts is immutable.
type Entry struct {
	Prefix netip.Prefix // of the source; invalid: it is a name
	Name   []byte       // wire form, lower case, with all below it
	Action Action
	Rate   int // Limit: queries a second, all workers together, 1 to RateMax
	counts []count
}

// count is one worker's, and nobody else's line.
type count struct {
	blocked atomic.Uint64 // stored by the worker alone
	tokens  int64         // worker only, from here on: 1e-9 of a query
	filled  int64         // ns
	_       [64 - 24]byte
}

// NewEntry makes an entry for so many workers. Errors: neither or both of prefix and name, a rate without Limit or out of range.
func NewEntry(prefix netip.Prefix, name []byte, action Action, rate, workers int) (*Entry, error) {
	switch {
	case prefix.IsValid() == (len(name) > 0):
		return nil, fmt.Errorf("block: prefix %v and name %q: want one of them", prefix, name)
	case action >= Actions:
		return nil, fmt.Errorf("block: action %d: want less than %d", action, Actions)
	case action == Limit && (rate < 1 || rate > RateMax), action != Limit && rate != 0:
		return nil, fmt.Errorf("block: action %v at %d queries/s: want 1 to %d for %v, else none", action, rate, RateMax, Limit)
	}
	return &Entry{Prefix: prefix.Masked(), Name: name, Action: action, Rate: rate, counts: make([]count, workers)}, nil
}

// Blocked returns how many queries were blocked. Any goroutine may ask.
func (e *Entry) Blocked() uint64 {
	sum := uint64(0)
	for i := range e.counts {
		sum += e.counts[i].blocked.Load()
	}
	return sum
}

// Blocks reports whether a query that a worker has received at now ns is blocked, and counts it. It is for that worker's thread.
func (e *Entry) Blocks(worker int, now int64) bool {
	c := &e.counts[worker]
	if e.Action == Limit && c.pass(int64(max(1, e.Rate/len(e.counts))), now) {
		return false
	}
	c.blocked.Store(c.blocked.Load() + 1)
	return true
}

// pass is a token bucket with room for a second's worth.
func (c *count) pass(rate, now int64) bool {
	const one = int64(time.Second)
	c.tokens = min(c.tokens+min(now-c.filled, one)*rate, one*rate)
	c.filled = now
	if c.tokens < one {
		return false
	}
	c.tokens -= one
	return true
}
