package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache/shared"
)

// Restored says what became of the records of a load.
type Restored struct {
	Answers uint64 // that a cache has taken; one that several workers were given counts once for each
	Known   uint64 // not taken: a younger answer was there
	Expired uint64 // past their TTL, and not to be served stale
	Foreign uint64 // of pools that are not there any more or do not cache, or of names that are not kept
	Damaged uint64 // not the record of an answer
}

func (r *Restored) add(o Restored) {
	r.Answers += o.Answers
	r.Known += o.Known
	r.Expired += o.Expired
	r.Foreign += o.Foreign
	r.Damaged += o.Damaged
}

// restoring is a load under way, as its goroutine sees it.
type restoring struct {
	group *Group
	belts []*belt
	tags  [wire.KeyPoolsMax]int   // of this process, by that in the records; -1: none
	stale [wire.KeyPoolsMax]int64 // seconds past the TTL that an answer may be, by tag of this process
	views [viewTags]uint8         // of this process, by that in the records; 0: none
	away  uint32                  // seconds, and one more: ages were rounded down when they were written
	out   Restored
	ended chan error // of the errand
}

// Load gives the workers the answers whose records next returns, until it returns io.EOF, or another error, which is returned after all that came
// before was loaded. names is what the numbers in their keys stand for (KeyNames), away is how long ago they were written. Answers that were asked for
// again go to all workers, others to one, and where workers share a level of the cache, to that. A worker takes a bounded part in each turn.
func (g *Group) Load(ctx context.Context, names []string, away time.Duration, next func() ([]byte, error)) (Restored, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &restoring{group: g, belts: g.belts(), away: uint32(min(max(away, 0)/time.Second+1, cacheAgeMax)), ended: make(chan error, 1)}
	l.matchNames(names)
	parts := make([]Restored, g.cfg.Workers)
	go func() {
		i := 0
		l.ended <- g.errand(ctx, func() func(w *worker) progress { i++; return taking(l.belts[i-1], &parts[i-1]) })
	}()
	var wrong error
	for {
		r, err := next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				wrong = err
			}
			break
		}
		if err = l.record(r); err != nil {
			return l.out, fmt.Errorf("load: %w", err)
		}
	}
	for i, b := range l.belts {
		if err := l.awaitCrate(b); err != nil {
			return l.out, fmt.Errorf("load: %w", err)
		}
		b.send()
		b.delivered.Store(true)
		g.wake(i)()
	}
	if err := <-l.ended; err != nil {
		return l.out, fmt.Errorf("load: %w", err)
	}
	for _, p := range parts {
		l.out.add(p)
	}
	return l.out, wrong
}

// matchNames finds the pools and views of this process by name.
func (l *restoring) matchNames(names []string) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	snap := g.commands[0].snapshot
	for tag := range l.tags {
		l.tags[tag] = -1
		if tag >= len(names) {
			continue
		}
		i := slices.IndexFunc(snap.Pools, func(p Pool) bool { return p.Name == names[tag] })
		if i < 0 || snap.Pools[i].NoCache {
			continue
		}
		own := int(g.pools[names[tag]][0].tag)
		l.tags[tag] = own
		if snap.Pools[i].WhenDown == Stale {
			l.stale[own] = int64(snap.StaleMax)
		}
	}
	for tag := 1; tag < viewTags && wire.KeyPoolsMax+tag < len(names); tag++ {
		for i := range snap.Views {
			if v := &snap.Views[i]; v.Name == names[wire.KeyPoolsMax+tag] && v.OwnCache {
				l.views[tag] = g.views[v.Name][0].tag
			}
		}
	}
}

// record sends one to the workers that shall have it.
func (l *restoring) record(text []byte) error {
	r := record(text)
	if !r.valid() || r.ttl() == 0 {
		l.out.Damaged++
		return nil
	}
	tag, partition := l.tags[wire.KeyPool(r.key())], wire.KeyPartition(r.key())
	lost := partition >= viewTags || partition != 0 && l.views[partition] == 0
	if tag < 0 || lost {
		l.out.Foreign++
		return nil
	}
	age := int64(r.age()) + int64(l.away)
	if past := age - int64(r.ttl()); past >= 0 && past >= l.stale[tag] {
		l.out.Expired++
		return nil
	}
	one := r.worker() % len(l.belts)
	for i, b := range l.belts {
		if r.visits() == 0 && i != one {
			continue
		}
		room, err := l.room(i, b, len(r))
		if err != nil {
			return err
		}
		mine := record(room)
		copy(mine, r)
		mine.setAge(uint32(min(age, cacheAgeMax)))
		wire.MoveKey(mine.key(), uint8(tag))
		if partition != 0 {
			wire.MovePartition(mine.key(), l.views[partition])
		}
	}
	return nil
}

// room returns n bytes in a crate for a worker.
func (l *restoring) room(worker int, b *belt, n int) ([]byte, error) {
	for {
		if err := l.awaitCrate(b); err != nil {
			return nil, err
		}
		if room := b.room(n); room != nil {
			return room, nil
		}
		b.send()
		l.group.wake(worker)()
	}
}

// awaitCrate waits until b has a free crate.
func (l *restoring) awaitCrate(b *belt) error {
	for !b.free() {
		select {
		case err := <-l.ended: // too early: the workers cannot have got all
			return errors.Join(err, errStopping)
		case <-time.After(ackPoll):
		}
	}
	return nil
}

// taking returns the steps of one worker.
func taking(b *belt, out *Restored) func(w *worker) progress {
	space := make([]byte, wire.MessageBytesMax)
	return func(w *worker) progress {
		for range loadStep {
			r := b.next()
			switch {
			case r == nil && b.ended():
				return ended
			case r == nil:
				return waits
			}
			w.restore(r, space, out)
		}
		return goesOn
	}
}

// restore puts the answer of a record into the cache. The answer is parsed as one from an upstream would be: nothing that came from a file is
// trusted.
func (w *worker) restore(r record, space []byte, out *Restored) {
	key := r.key()
	if w.cache == nil || w.neverKept(key) {
		out.Foreign++
		return
	}
	msg := r.message(space)
	if msg == nil || wire.ParseResponse(msg, key, &w.answer, &w.scratch) != wire.FaultNone || w.answer.RCode > wire.RCodeMask {
		out.Damaged++
		return
	}
	w.answer.Negative, w.answer.Extended = r.negative(), r.extended()
	hash, ttl, now := wire.Hash(w.seed, key), min(r.ttl(), cacheAgeMax), w.seconds()
	if !w.cache.Restore(hash, key, &w.answer, ttl, r.age(), r.visits(), now) {
		out.Known++
		return
	}
	out.Answers++
	w.lookFor(key)
	if c := &w.common; c.table != nil && r.age() < ttl {
		// The table's own Put knows no ages: the answer is put at the time that it was learned.
		if _, state := c.table.Get(hash, key, now, c.copy); state != shared.Fresh {
			c.table.Put(hash, key, &w.answer, ttl, now-r.age(), c.copy)
		}
	}
}
