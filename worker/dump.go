package worker

import (
	"context"
	"fmt"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
)

// KeyNames returns the names that the numbers in the keys of records stand for: of all pools there have been, and behind wire.KeyPoolsMax of all views.
func (g *Group) KeyNames() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := len(g.pools)
	if len(g.views) != 0 {
		last = wire.KeyPoolsMax + 1 + len(g.views)
	}
	names := make([]string, last)
	for name, states := range g.pools {
		names[states[0].tag] = name
	}
	for name, states := range g.views {
		names[wire.KeyPoolsMax+int(states[0].tag)] = name
	}
	return names
}

// Dump shows add a record of every cached answer of the workers, and returns how many there were. A worker copies a bounded part of its cache in
// each turn, and only as fast as add takes it; what is put or moved meanwhile may be missed, or come twice. A record is valid during the call. An
// error of add ends the dump.
func (g *Group) Dump(ctx context.Context, add func(record []byte) error) (n uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	belts := g.belts()
	done := make(chan error, 1)
	go func() {
		i := 0
		done <- g.errand(ctx, func() func(w *worker) progress { i++; return dumping(belts[i-1]) })
	}()
	for {
		ended, idle := true, true
		for i, b := range belts {
			ended = b.ended() && ended
			for r := b.next(); r != nil; r = b.next() {
				if err = add(r); err != nil {
					cancel()
					<-done
					return n, err
				}
				n++
				ended, idle = false, false
			}
			if !idle {
				g.wake(i)() // it may wait for a crate
			}
		}
		switch {
		case ended:
			return n, <-done
		case idle:
			select {
			case err = <-done: // all crates are on their way, or nothing comes any more
				if err != nil {
					return n, fmt.Errorf("dump: %w", err)
				}
				done <- nil
			case <-time.After(ackPoll):
			}
		}
	}
}

func (g *Group) belts() []*belt {
	belts := make([]*belt, g.cfg.Workers)
	for i := range belts {
		belts[i] = newBelt()
	}
	return belts
}

// dumping returns the steps of one worker.
func dumping(b *belt) func(w *worker) progress {
	var cursor cache.Cursor
	var shard *cache.Shard
	return func(w *worker) progress {
		if shard == nil {
			shard = w.cache
		}
		if w.cache == nil || shard != w.cache {
			b.delivered.Store(true)
			return ended
		}
		if !b.free() {
			return waits
		}
		now, full := w.seconds(), false
		more := w.cache.Walk(&cursor, dumpStep, nil, func(e *cache.Seen) bool {
			room := b.room(recordBytes(e))
			if full = room == nil; !full {
				putRecord(room, e, w.index, now)
			}
			return !full
		})
		if full || !more {
			b.send()
		}
		if !more {
			b.delivered.Store(true)
			return ended
		}
		return goesOn
	}
}
