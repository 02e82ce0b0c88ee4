package bootstrap

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Follower keeps the addresses of a set of names up to date until Close.
type Follower struct {
	cfg    Config
	log    *slog.Logger
	lookup func(ctx context.Context, cfg Config, name string) ([]netip.Addr, time.Duration, error)

	cancel  context.CancelFunc
	running sync.WaitGroup
	tried   sync.WaitGroup // first look-ups
}

// Follow starts to follow names, each once. store is called with the name and its addresses whenever they are known to be new, from
// several goroutines at a time but never concurrently for one name.
func Follow(cfg Config, log *slog.Logger, names []string, store func(name string, addrs []netip.Addr)) *Follower {
	f := &Follower{cfg: cfg, log: log, lookup: Lookup}
	f.start(names, store)
	return f
}

func (f *Follower) start(names []string, store func(name string, addrs []netip.Addr)) {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for _, name := range names {
		f.tried.Add(1)
		f.running.Go(func() { f.follow(ctx, name, store) })
	}
}

// Tried is closed once every name has been looked up for the first time, with or without success.
func (f *Follower) Tried() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		f.tried.Wait()
		close(done)
	}()
	return done
}

// Close stops all look-ups and returns when none is left.
func (f *Follower) Close() {
	f.cancel()
	f.running.Wait()
}

// follow is the life of one name.
func (f *Follower) follow(ctx context.Context, name string, store func(string, []netip.Addr)) {
	first := sync.OnceFunc(f.tried.Done)
	defer first()
	var known []netip.Addr
	failures := 0
	for ctx.Err() == nil {
		addrs, ttl, err := f.lookup(ctx, f.cfg, name)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		if err != nil {
			if failures == 0 {
				f.log.Error("upstream name cannot be resolved; addresses known before stay in use", "name", name, "error", err)
			}
			pause = f.afterFailure(failures)
			failures++
		} else {
			if failures > 0 {
				f.log.Info("upstream name can be resolved again", "name", name, "addresses", addrs, "failures", failures)
			}
			failures = 0
			pause = f.afterSuccess(ttl)
			if !slices.Equal(addrs, known) {
				f.log.Debug("upstream name resolved", "name", name, "addresses", addrs, "ttl", ttl)
				store(name, addrs)
				known = addrs
			}
		}
		first()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// afterSuccess is the pause to the next look-up of addresses that live for ttl.
func (f *Follower) afterSuccess(ttl time.Duration) time.Duration {
	return min(max(ttl-f.cfg.RefreshThreshold, f.cfg.MinTTL), ttlMax)
}

// afterFailure is the pause after so many failures before this one.
func (f *Follower) afterFailure(failures int) time.Duration {
	return min(firstRetry<<min(failures, 20), f.cfg.FailureRetry)
}
