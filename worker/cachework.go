package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
)

// CacheMatch says which cached answers a command is about.
type CacheMatch struct {
	Name  []byte // wire form, lower case; nil: every name
	Below bool   // the names below it as well
	Type  uint16 // 0: every type
	Pool  string // "": every pool
}

// resolve gives the pool its tag.
func (g *Group) resolve(m CacheMatch) (cache.Match, error) {
	out := cache.Match{Name: m.Name, Below: m.Below, Type: m.Type}
	if m.Pool != "" {
		g.mu.Lock()
		defer g.mu.Unlock()
		states := g.pools[m.Pool]
		if states == nil {
			return out, fmt.Errorf("there is no pool %q", m.Pool)
		}
		out.Pools = 1 << states[0].tag
	}
	return out, nil
}

// Flushed is what a flush has removed, from all workers: an answer counts once for each worker that had it, and once if they shared it.
type Flushed struct{ Answers, Failures uint64 }

// Flush removes the answers that m means from the caches, and all remembered failures: those are kept by hash, for seconds. From the turn on
// in which a worker begins, it finds none of them any more; they are removed in steps. Flush returns when that is done. An answer that was under way when it began is kept.
func (g *Group) Flush(ctx context.Context, m CacheMatch) (Flushed, error) {
	match, err := g.resolve(m)
	if err != nil {
		return Flushed{}, err
	}
	g.forgetTier(&match, m.Pool)
	sum := Flushed{Answers: g.flushShared(&match)} // first: what a worker takes over from there before its own flush begins goes with that
	var parts []*Flushed
	err = g.errand(ctx, func() func(w *worker) progress {
		part := new(Flushed)
		parts = append(parts, part)
		return flushing(match, part)
	})
	if err != nil {
		return Flushed{}, fmt.Errorf("flush: %w", err)
	}
	for _, p := range parts {
		sum.Answers += p.Answers
		sum.Failures += p.Failures
	}
	return sum, nil
}

// flushing returns the steps of one worker. The cache itself does the work, in Tend.
func flushing(m cache.Match, out *Flushed) func(w *worker) progress {
	f := &cache.Flush{Match: m}
	var shard *cache.Shard
	return func(w *worker) progress {
		switch {
		case shard == nil && w.cache == nil:
			return ended
		case shard == nil:
			if !w.cache.Begin(f) {
				return waits // for a flush under way, which does not let the worker sleep
			}
			shard = w.cache
			out.Failures = w.failures.Clear(w.now)
			w.stats.CacheFlushes++
			return goesOn
		case !f.Done && shard == w.cache:
			return waits
		}
		out.Answers = f.Removed
		w.stats.CacheFlushed += f.Removed
		return ended
	}
}

// Refresh asks again for every cached answer to m.Name, which must not be nil, and returns for how many. The old answers stay until the new
// ones are there. Remembered failures of these questions are forgotten.
func (g *Group) Refresh(ctx context.Context, m CacheMatch) (uint64, error) {
	match, err := g.resolve(m)
	if err != nil {
		return 0, err
	}
	var parts []*uint64
	err = g.errand(ctx, func() func(w *worker) progress {
		part := new(uint64)
		parts = append(parts, part)
		return refreshing(match, part)
	})
	if err != nil {
		return 0, fmt.Errorf("refresh: %w", err)
	}
	var sum uint64
	for _, p := range parts {
		sum += *p
	}
	return sum, nil
}

func refreshing(m cache.Match, out *uint64) func(w *worker) progress {
	var cursor cache.Cursor
	var shard *cache.Shard
	return func(w *worker) progress {
		if shard == nil {
			shard = w.cache
		}
		if w.cache == nil || shard != w.cache || w.draining {
			return ended
		}
		full := false
		more := w.cache.Walk(&cursor, refreshStep, &m, func(e *cache.Seen) bool {
			if full = !w.refresh(e); !full {
				*out++
			}
			return !full
		})
		switch {
		case !more:
			return ended
		case full:
			return waits // for exchanges, whose answers end the wait
		}
		return goesOn
	}
}

// refresh asks again for a cached answer; false: there is no room.
func (w *worker) refresh(e *cache.Seen) bool {
	l := &w.single
	l.key, l.passCache, l.tailored.passed = l.space[:copy(l.space[:], e.Key)], false, false // of this scratch's last query
	l.query.NameLen = len(wire.KeyName(l.key))
	l.hash, l.pool = e.Hash, w.active.byTag[wire.KeyPool(e.Key)]
	if l.pool == nil || !w.askable(l) {
		return true // nobody can ask for it any more
	}
	if _, under := w.table.Find(l.hash, l.key); under {
		return true
	}
	if 2*w.table.Len() >= w.cfg.Slots {
		return false
	}
	slot, ok := w.table.Open(l.hash, l.key)
	if !ok {
		return false
	}
	w.failures.Forget(l.hash)
	w.stats.CacheRefreshes++
	w.table.At(slot).NotBefore = w.seconds() + 1 // nothing that is there already
	w.start(slot, l)
	return true
}

// CachedAnswer is one entry of one worker's cache.
type CachedAnswer struct {
	Worker     int
	Name       []byte // wire form
	Type       uint16
	DO, CD, RD bool   // of the query that it is for
	Pool       string // "" of a pool that is gone
	RCode      uint16
	Negative   bool
	AN, NS, AR uint16
	Bytes      int           // of its records
	TTL, Age   time.Duration // TTL when it was stored; below 0 is left of it when Age is greater
	Popular    bool          // it is refreshed before its TTL ends
}

// Look returns the cached answers that m means, LookMax of each worker at most; cut reports whether there are more.
func (g *Group) Look(ctx context.Context, m CacheMatch) (list []CachedAnswer, cut bool, err error) {
	match, err := g.resolve(m)
	if err != nil {
		return nil, false, err
	}
	var parts []*[]CachedAnswer
	err = g.errand(ctx, func() func(w *worker) progress {
		part := new([]CachedAnswer)
		parts = append(parts, part)
		return looking(match, part)
	})
	if err != nil {
		return nil, false, fmt.Errorf("look: %w", err)
	}
	for _, p := range parts {
		cut = cut || len(*p) > LookMax
		list = append(list, (*p)[:min(len(*p), LookMax)]...)
	}
	return list, cut, nil
}

func looking(m cache.Match, out *[]CachedAnswer) func(w *worker) progress {
	var cursor cache.Cursor
	var shard *cache.Shard
	return func(w *worker) progress {
		if shard == nil {
			shard = w.cache
		}
		if w.cache == nil || shard != w.cache {
			return ended
		}
		more := w.cache.Walk(&cursor, lookStep, &m, func(e *cache.Seen) bool {
			if len(*out) <= LookMax { // one more says that there are more
				*out = append(*out, w.cached(e))
			}
			return true
		})
		if !more || len(*out) > LookMax {
			return ended
		}
		return goesOn
	}
}

func (w *worker) cached(e *cache.Seen) CachedAnswer {
	flags := wire.KeyFlags(e.Key)
	a := CachedAnswer{
		Worker: w.index, Name: slices.Clone(wire.KeyName(e.Key)), Type: wire.KeyType(e.Key),
		DO: flags&wire.KeyDO != 0, CD: flags&wire.KeyCD != 0, RD: flags&wire.KeyRD != 0,
		RCode: e.Answer.RCode, Negative: e.Answer.Negative, AN: e.Answer.AN, NS: e.Answer.NS, AR: e.Answer.AR,
		Bytes: len(e.Answer.Records), TTL: time.Duration(e.Expire-e.Stored) * time.Second,
		Age: time.Duration(w.seconds()-min(w.seconds(), e.Stored)) * time.Second, Popular: e.Visits >= cache.VisitsPopular,
	}
	if p := w.active.byTag[wire.KeyPool(e.Key)]; p != nil {
		a.Pool = p.spec.Name
	}
	return a
}
