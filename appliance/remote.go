package appliance

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/worker"
)

// remote is the cache that instances share, as the configuration in force has it. Its methods belong to the service's goroutine, but for figures and run.
type remote struct {
	log *slog.Logger

	mu    sync.Mutex
	store *tier.Store // nil: off
	cfg   config.Remote
	past  tier.Stats // of stores that reloads have replaced, so that counters never fall
}

// plan returns the store for a configuration: the one in use if its servers are the same, nil for none. What is planned is adopted or discarded.
func (r *remote) plan(c *config.Remote) (*tier.Store, error) {
	switch {
	case c.Kind == config.RemoteOff:
		return nil, nil
	case r.store != nil && r.cfg.SameServers(c):
		return r.store, nil
	}
	cfg := tier.Config{
		Kind: tier.Redis, Mode: c.Mode, Master: c.MasterName, Username: c.Servers.Username, Password: c.Servers.Secret(),
		SentinelUsername: c.Sentinels.Username, SentinelPassword: c.Sentinels.Secret(), DB: c.DB, Prefix: c.Prefix,
		Timeout: c.Timeout, MessageBytesMax: c.MaxValue, FillBytes: c.WriteQueue,
	}
	if c.Kind == config.RemoteMemcached {
		cfg.Kind = tier.Memcached
	}
	for _, a := range c.Addresses {
		cfg.Addresses = append(cfg.Addresses, a.String())
	}
	if c.TLS {
		cfg.TLS = &tls.Config{RootCAs: c.Roots, ServerName: c.TLSName, MinVersion: tls.VersionTLS12}
		if c.ClientCertFile != "" {
			pair, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
			if err != nil {
				return nil, fmt.Errorf("cache.remote: client certificate: %w", err)
			}
			cfg.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	store, err := tier.New(cfg)
	if err == nil && r.store != nil {
		store.Inherit(r.store) // the same answers may be at the other end
	}
	return store, err
}

// adopt makes a planned store, which the workers use now, the one in use and closes the one before.
func (r *remote) adopt(store *tier.Store, c *config.Remote) {
	r.mu.Lock()
	before := r.store
	if before != nil && before != store {
		r.past = addTierStats(r.past, before.Stats())
	}
	r.store, r.cfg = store, *c
	r.mu.Unlock()
	if before == store {
		return
	}
	if before != nil {
		before.Close()
	}
	if store != nil {
		r.log.Info("second-tier cache in use", "kind", c.Kind, "servers", store.Servers(), "budget", c.Budget)
	} else {
		r.log.Info("second-tier cache no longer used")
	}
}

// discard closes a planned store that was not adopted.
func (r *remote) discard(store *tier.Store) {
	if store != nil && store != r.store {
		store.Close()
	}
}

// close ends the store in use; the workers have ended.
func (r *remote) close() {
	r.mu.Lock()
	store := r.store
	r.mu.Unlock()
	if store != nil {
		store.Close()
	}
}

// tierOf is what workers need to know of a store.
func tierOf(store *tier.Store, c *config.Remote) worker.Tier {
	return worker.Tier{Store: store, Budget: c.Budget, Breaker: c.Breaker}
}

// figures are those of all stores that there were. Any goroutine.
func (r *remote) figures() tier.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return r.past
	}
	return addTierStats(r.past, r.store.Stats())
}

func addTierStats(a, b tier.Stats) tier.Stats {
	return tier.Stats{
		Connects: a.Connects + b.Connects, ConnectErrors: a.ConnectErrors + b.ConnectErrors, Asks: a.Asks + b.Asks, GetErrors: a.GetErrors + b.GetErrors,
		Expired: a.Expired + b.Expired, Broken: a.Broken + b.Broken, Forgotten: a.Forgotten + b.Forgotten, Stored: a.Stored + b.Stored, SetErrors: a.SetErrors + b.SetErrors,
	}
}

// remoteView is what the log is about, at one time.
type remoteView struct {
	used         bool
	out, workers int    // workers that have taken it out, of how many
	late, failed uint64 // questions, since the start
	refuses      bool
	reason       string // of the last failure
	taken        uint64 // times that a worker took it out
}

// look takes a view. Any goroutine.
func (r *remote) look(group *worker.Group, workers int) remoteView {
	r.mu.Lock()
	store := r.store
	r.mu.Unlock()
	if store == nil {
		return remoteView{}
	}
	s := group.Stats()
	return remoteView{
		used: true, out: int(s.TierOut), workers: workers, late: s.TierLate, failed: s.TierErrors, refuses: store.Refuses(), reason: store.Reason(),
		taken: s.TierOuts,
	}
}

// run writes a line when workers begin to do without the second-tier cache, and when all use it again; the same for what it does not store. Until ctx ends.
func (r *remote) run(ctx context.Context, group *worker.Group, workers int) {
	l := remoteLog{log: r.log}
	for {
		select {
		case <-time.After(remoteLook):
			l.see(r.look(group, workers), time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// remoteLog is what was logged last.
type remoteLog struct {
	log      *slog.Logger
	last     remoteView
	outSince time.Time // zero: it is not out
	refusing bool
}

func (l *remoteLog) see(v remoteView, now time.Time) {
	switch {
	case !v.used:
		l.outSince, l.refusing = time.Time{}, false
	case l.outSince.IsZero() && (v.out > 0 || v.taken > l.last.taken):
		l.outSince = now
		l.log.Warn("second-tier cache taken out, queries do without", "workers", v.out, "of", v.workers,
			"late", v.late-l.last.late, "failed", v.failed-l.last.failed, "last_failure", v.reason)
	case !l.outSince.IsZero() && v.out == 0:
		l.log.Info("second-tier cache is back", "after", now.Sub(l.outSince).Round(time.Millisecond))
		l.outSince = time.Time{}
	}
	if v.used && v.refuses != l.refusing {
		l.refusing = v.refuses
		if v.refuses {
			l.log.Warn("second-tier cache takes no answers", "reason", v.reason)
		} else {
			l.log.Info("second-tier cache takes answers again")
		}
	}
	l.last = v
}
