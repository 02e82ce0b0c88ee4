package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errand is work for an operator that a worker does beside its queries. Unlike a command, which is a state, it is done once.
type errand struct {
	next   *errand                  // in the list of those that the worker has not seen yet
	step   func(w *worker) progress // on the worker's thread, once a turn; each call does a bounded part, some 0.1 ms
	done   atomic.Bool
	cancel atomic.Bool // the Group does not wait for it any more
}

// progress is what came of a step.
type progress uint8

const (
	goesOn progress = iota // again in the next turn, which comes at once
	waits                  // again in the next turn, whenever that is
	ended
)

// hand gives the worker an errand. Any goroutine; more than errandsMax at a time are kept out by the Group.
func (w *worker) hand(e *errand) {
	for {
		e.next = w.errands.Load()
		if w.errands.CompareAndSwap(e.next, e) {
			break
		}
	}
	w.waker.Wake()
}

// runErrands does a step of each errand and reports whether one of them cannot wait.
func (w *worker) runErrands() (hurry bool) {
	if w.errands.Load() != nil {
		for e := w.errands.Swap(nil); e != nil; e = e.next {
			w.chores = append(w.chores, e)
		}
	}
	kept := w.chores[:0]
	for _, e := range w.chores {
		if e.cancel.Load() {
			continue
		}
		switch e.step(w) {
		case ended:
			e.done.Store(true)
			continue
		case goesOn:
			hurry = true
		case waits:
		}
		kept = append(kept, e)
	}
	clear(w.chores[len(kept):])
	w.chores = kept
	return hurry
}

// errand has every worker do what make makes for it, and returns when all are done, ctx ends, or the group stops; then what they have written
// must not be read.
func (g *Group) errand(ctx context.Context, make func() func(w *worker) progress) error {
	defer g.errands.Add(-1)
	if g.errands.Add(1) > errandsMax {
		return fmt.Errorf("%d commands are under way, more have to wait", errandsMax)
	}
	var list []*errand
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return errStopping
	}
	for _, w := range g.workers {
		e := &errand{step: make()}
		list = append(list, e)
		w.hand(e)
	}
	g.mu.Unlock()
	for _, e := range list {
		for !e.done.Load() {
			if g.stopped() {
				return errStopping
			}
			select {
			case <-ctx.Done():
				for _, e := range list {
					e.cancel.Store(true)
				}
				return ctx.Err()
			case <-time.After(ackPoll):
			}
		}
	}
	return nil
}

var errStopping = errors.New("stopping")
