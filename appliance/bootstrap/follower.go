package bootstrap

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Follower keeps the addresses of a set of names up to date until Close.
type Follower struct {
	cfg    Config
	log    *slog.Logger
	lookup func(ctx context.Context, cfg Config, name string) (Found, error)

	cancel  context.CancelFunc
	running sync.WaitGroup
	tried   sync.WaitGroup // first look-ups
}

// Counters counts look-ups by who answered.
type Counters struct{ Upstream, Server, Failed atomic.Uint64 }

// Follow starts to follow names, each once. store is called with the name and its addresses whenever they are known to be new, from
// several goroutines at a time but never concurrently for one name.
func Follow(cfg Config, log *slog.Logger, names []string, store func(name string, addrs []netip.Addr)) *Follower {
	f := &Follower{cfg: cfg, log: log, lookup: Lookup}
	f.start(names, store)
	return f
}

func (f *Follower) start(names []string, store func(name string, addrs []netip.Addr)) {
	if f.cfg.Counters == nil {
		f.cfg.Counters = new(Counters)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for _, name := range names {
		f.tried.Add(1)
		f.running.Go(func() { f.follow(ctx, &subject{name: name, log: f.log.With("name", name), store: store}) })
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

// subject is one name that is followed.
type subject struct {
	name  string
	log   *slog.Logger
	store func(name string, addrs []netip.Addr)

	known    []netip.Addr // sorted
	failures int          // in a row
	fallback bool         // the last answer came from a bootstrap server, although upstreams were asked
}

// follow is the life of one name.
func (f *Follower) follow(ctx context.Context, s *subject) {
	first := sync.OnceFunc(f.tried.Done)
	defer first()
	for ctx.Err() == nil {
		found, err := f.lookup(ctx, f.cfg, s.name)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		if err != nil {
			f.cfg.Counters.Failed.Add(1)
			pause = f.afterFailure(s.failures)
			s.failed(err)
		} else {
			if found.Upstream {
				f.cfg.Counters.Upstream.Add(1)
			} else {
				f.cfg.Counters.Server.Add(1)
			}
			pause = f.afterSuccess(found.TTL)
			s.resolved(found)
		}
		first()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (s *subject) failed(err error) {
	if s.failures == 0 {
		s.log.Error("upstream name cannot be resolved; addresses known before stay in use", "error", err)
	}
	s.failures++
}

func (s *subject) resolved(found Found) {
	if s.failures > 0 {
		s.log.Info("upstream name can be resolved again", "addresses", found.Addrs, "failures", s.failures)
	}
	s.failures = 0
	switch {
	case found.Fallback != nil && !s.fallback:
		s.log.Warn("upstream name is resolved by a bootstrap server: the upstreams do not know it", "error", found.Fallback)
	case found.Upstream && s.fallback:
		s.log.Info("upstream name is resolved through the upstreams again")
	}
	s.fallback = found.Fallback != nil
	sorted := slices.SortedFunc(slices.Values(found.Addrs), netip.Addr.Compare) // servers like to answer in another order each time
	if slices.Equal(sorted, s.known) {
		return
	}
	if s.known == nil {
		s.log.Debug("upstream name resolved", "addresses", found.Addrs, "ttl", found.TTL)
	} else {
		s.log.Info("upstream name has new addresses", "addresses", found.Addrs, "before", s.known, "ttl", found.TTL)
	}
	s.store(s.name, found.Addrs)
	s.known = sorted
}

// afterSuccess is the pause to the next look-up of addresses that live for ttl. Jitter makes it shorter, never longer: many proxies that
// were started together shall not ask together, but the addresses must not expire.
func (f *Follower) afterSuccess(ttl time.Duration) time.Duration {
	pause := min(ttl-f.cfg.RefreshThreshold, ttlMax)
	pause -= time.Duration(rand.Float64() * float64(pause) * float64(f.cfg.JitterPercent) / 100)
	return max(pause, f.cfg.MinTTL)
}

// afterFailure is the pause after so many failures before this one.
func (f *Follower) afterFailure(failures int) time.Duration {
	return min(firstRetry<<min(failures, 20), f.cfg.FailureRetry)
}
