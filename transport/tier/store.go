package tier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// Kind is what speaks at the other end.
type Kind uint8

const (
	Redis Kind = iota + 1 // or Valkey
	Memcached
)

// Mode is how Redis servers belong together.
type Mode uint8

const (
	Single   Mode = iota
	Cluster       // the addresses are some nodes of it
	Sentinel      // the addresses are sentinels, which know the master
)

// Config is how a Store reaches its servers. Everything but Kind, Addresses, Timeout and the limits may be zero.
type Config struct {
	Kind               Kind
	Mode               Mode
	Addresses          []string // IP:port; Single: one; Memcached: names are spread over all
	Master             string   // Sentinel: name of the master
	Username, Password string   // Redis; an empty name is the server's default user

	SentinelUsername, SentinelPassword string // Sentinel; who we are to the sentinels themselves

	DB              int // Redis, not Cluster
	TLS             *tls.Config
	Prefix          string        // of all names, at most PrefixBytesMax bytes without spaces
	Timeout         time.Duration // for a connection to be made, and for one that answers nothing to be given up
	MessageBytesMax int           // longer answers are not stored, MessageBytesMin to ValueBytesLimit
	FillBytes       int           // see LineLimits
}

// Validate returns everything that is wrong, joined.
func (c *Config) Validate() error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Kind != Redis && c.Kind != Memcached {
		complain("unknown kind %d", c.Kind)
	}
	if n := len(c.Addresses); n < 1 || n > AddressesMax || n > 1 && c.Kind == Redis && c.Mode == Single {
		complain("%d addresses: want 1 to %d, and one for a single server", n, AddressesMax)
	}
	if (c.Mode == Sentinel) != (c.Master != "") {
		complain("master %q: sentinels need a name, and nothing else has one", c.Master)
	}
	if c.Mode != Sentinel && (c.SentinelUsername != "" || c.SentinelPassword != "") {
		complain("credentials for sentinels, and there are none")
	}
	if c.Kind == Memcached && (c.Mode != Single || c.Username != "" || c.Password != "" || c.DB != 0) {
		complain("memcached has no modes, users and databases")
	}
	if c.Mode == Cluster && c.DB != 0 {
		complain("database %d: a cluster has only 0", c.DB)
	}
	if len(c.Prefix) > PrefixBytesMax || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
		complain("prefix %q: want at most %d printable characters", c.Prefix, PrefixBytesMax)
	}
	if c.Timeout < TimeoutMin || c.Timeout > TimeoutMax {
		complain("timeout %v: want %v to %v", c.Timeout, TimeoutMin, TimeoutMax)
	}
	return errors.Join(errs...)
}

// Store is the servers, as the Lines of all workers share them. Its methods are safe from any goroutine.
type Store struct {
	cfg     Config
	client  atomic.Pointer[connected]
	ctx     context.Context
	stop    context.CancelFunc
	group   sync.WaitGroup
	stats   counters
	reason  atomic.Pointer[string] // of the last failure
	refused atomic.Uint32          // fills that failed in a row

	forgotten forgotten
}

// connected is a client that has been made.
type connected struct{ client }

// client is a library at work. Calls may be many at a time; each ends within about twice Config.Timeout.
type client interface {
	// get looks names up and tells each one's value, nil for none, or error. A value may be changed by whoever is told.
	get(ctx context.Context, names []string, tell func(i int, value []byte, err error))
	// set stores what it can, and tells each one's error or nil.
	set(ctx context.Context, items []item, tell func(err error))
	close()
}

// item is one value to be stored.
type item struct {
	name  string
	value []byte
	ttl   time.Duration // whole seconds, at least 1
}

type counters struct {
	connects, connectErrors, asks, getErrors, broken, expired, forgotten, stored, setErrors atomic.Uint64
}

// Stats are the figures of a Store, of all its Lines together.
type Stats struct {
	Connects, ConnectErrors uint64 // first connections; how often one could not be made
	Asks                    uint64 // questions that went to the servers
	GetErrors               uint64 // of them, those that failed
	Expired                 uint64 // values past their time
	Forgotten               uint64 // values that Forget is about
	Broken                  uint64 // values that were damaged or to another question
	Stored, SetErrors       uint64 // answers stored; those that the servers did not take
}

// New returns a Store that connects in the background. The caller owes it a Close.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("second-tier cache: %w", err)
	}
	s := &Store{cfg: cfg}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.group.Go(s.connect)
	return s, nil
}

// Limits returns what the Store's Lines are to be made with.
func (s *Store) Limits() LineLimits {
	return LineLimits{FillBytes: s.cfg.FillBytes, MessageBytesMax: s.cfg.MessageBytesMax}
}

// Close ends all connections. Its Lines may be closed before or after: their questions fail.
func (s *Store) Close() {
	s.stop()
	s.group.Wait()
	if c := s.client.Swap(nil); c != nil {
		c.close()
	}
}

// Stats returns the figures.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{
		Connects: c.connects.Load(), ConnectErrors: c.connectErrors.Load(), Asks: c.asks.Load(), GetErrors: c.getErrors.Load(), Expired: c.expired.Load(),
		Forgotten: c.forgotten.Load(),
		Broken:    c.broken.Load(), Stored: c.stored.Load(), SetErrors: c.setErrors.Load(),
	}
}

// Reason returns what failed last, empty for nothing. It names no password.
func (s *Store) Reason() string {
	if r := s.reason.Load(); r != nil {
		return *r
	}
	return ""
}

// Refuses reports whether the last fills all failed: the servers are full, or read-only.
func (s *Store) Refuses() bool { return s.refused.Load() >= fillFailuresMax }

// Servers lists the addresses as configured.
func (s *Store) Servers() []string { return s.cfg.Addresses }

// connect makes the client. The libraries keep connections alive by themselves from then on, but that of Redis begins with one.
func (s *Store) connect() {
	for pause := connectPauseFirst; ; pause = min(2*pause, connectPauseMax) {
		c, err := s.dial()
		if err == nil {
			s.stats.connects.Add(1)
			s.client.Store(&connected{c})
			return
		}
		s.stats.connectErrors.Add(1)
		s.failed(err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Store) dial() (client, error) {
	if s.cfg.Kind == Memcached {
		return newMemcached(&s.cfg)
	}
	return newRedis(&s.cfg)
}

// failed keeps the reason of a failure.
func (s *Store) failed(err error) {
	text := err.Error()
	s.reason.Store(&text)
}

// faultOf says what an error of a client is to a worker.
func faultOf(err error) transport.Fault {
	if errors.Is(err, context.DeadlineExceeded) {
		return transport.FaultTimeout
	}
	return transport.FaultClosed
}
