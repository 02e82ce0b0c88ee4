package ddr

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// Config says whom to ask, how often, and what to do with the answer.
type Config struct {
	Plain         *transport.Endpoint // the resolver that is asked
	Address       netip.Addr          // its address, which a certificate must be valid for
	Opportunistic bool                // RFC 9462 §4.3
	Downgrade     bool                // a designated resolver that is lost is given up for the plain one
	Timeout       time.Duration       // for one question, handshake included
	MinTTL        time.Duration       // no sooner than this after an answer
	FailureRetry  time.Duration       // longest pause after failures, and the pause while the designated resolver is down
	Log           *slog.Logger

	// Build makes the endpoint of a designation; with verify its certificate must be valid for Target and for Address.
	Build func(d *Designation, verify bool) (*transport.Endpoint, error)
	// Use tells the owner what to use from now on: an upgrade, or nil for the plain resolver again. It returns once that is in force, or with
	// an error: then it is tried again later.
	Use func(ctx context.Context, u *Upgrade) error
	// Down reports whether an endpoint is taken for down.
	Down func(e *transport.Endpoint) bool
}

// Upgrade is a designated resolver that has shown that it works.
type Upgrade struct {
	Designation
	Verified bool
	Endpoint *transport.Endpoint
}

// State is what is known of one resolver.
type State uint32

const (
	Unknown    State = iota // it has not answered yet
	Absent                  // it designates nobody whom we could use
	Unverified              // whom it designates could not be verified, or does not answer
	Upgraded                // queries go to the one that it designates
	StateCount              // how many there are
)

// String is the metric label.
func (s State) String() string {
	return [...]string{"unknown", "absent", "unverified", "upgraded"}[s]
}

// Seeker keeps looking for the designated resolver of one plain resolver until Close.
type Seeker struct {
	cfg     Config
	current *Upgrade
	heard   State         // and said in the log; StateCount: nothing yet
	state   atomic.Uint32 // heard, for others
	lost    bool          // what was heard last speaks against current, which stays in use
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Seek starts a seeker. current is what an earlier one has found, nil for nothing.
func Seek(cfg Config, current *Upgrade) *Seeker {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Seeker{cfg: cfg, current: current, heard: StateCount, cancel: cancel}
	if current != nil {
		s.hear(Upgraded)
	}
	s.running.Go(func() { s.run(ctx) })
	return s
}

// Close ends the search, and returns when nothing is left of it. What is in use stays in use.
func (s *Seeker) Close() {
	s.cancel()
	s.running.Wait()
}

// State returns what is known now.
func (s *Seeker) State() State { return State(s.state.Load()) }

func (s *Seeker) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		found, ttl, err := s.seek(ctx)
		if ctx.Err() != nil {
			return
		}
		var trouble *unreachable
		if errors.As(err, &trouble) {
			s.missed(ctx, err, Unknown)
			s.wait(ctx, min(firstRetry<<min(failures, 20), s.cfg.FailureRetry))
			failures++
			continue
		}
		failures = 0
		pause := max(ttl, s.cfg.MinTTL)
		switch {
		case found != nil:
			if !s.take(ctx, found) {
				pause = s.cfg.MinTTL
			}
		case err != nil:
			s.missed(ctx, err, Unverified)
		default:
			s.missed(ctx, errAbsent, Absent)
		}
		s.wait(ctx, pause-time.Duration(rand.Int64N(int64(pause)/10+1))) // not all resolvers at the same time
	}
}

var errAbsent = errors.New("it designates no resolver")

// wait is over after pause, or earlier if the designated resolver goes down meanwhile, but not before FailureRetry.
func (s *Seeker) wait(ctx context.Context, pause time.Duration) {
	for pause > 0 {
		step := min(pause, s.cfg.FailureRetry)
		select {
		case <-ctx.Done():
			return
		case <-time.After(step):
		}
		pause -= step
		if s.current != nil && s.cfg.Down(s.current.Endpoint) {
			return
		}
	}
}

// take puts what was found in force; false if that has to be tried again.
func (s *Seeker) take(ctx context.Context, found *Upgrade) bool {
	if s.current != nil && s.current.same(&found.Designation) && s.current.Verified == found.Verified {
		if s.lost {
			s.cfg.Log.Info("the designated resolver is confirmed again", "designated", s.current.String())
		}
		s.lost = false
		return true
	}
	if s.current != nil && s.current.Verified && !found.Verified {
		s.missed(ctx, errors.New("it designates a resolver that cannot be verified, in place of one that was"), Unverified)
		return true
	}
	if err := s.cfg.Use(ctx, found); err != nil {
		s.cfg.Log.Error("the designated resolver cannot be used", "designated", found.String(), "error", err)
		return false
	}
	s.current, s.lost = found, false
	s.hear(Upgraded)
	s.cfg.Log.Info("queries go to the designated resolver from now on", "designated", found.String(), "verified", found.Verified)
	return true
}

// missed notes that no designated resolver was found this time. A plain resolver that does not answer is no better than a designated one
// that is down, so nothing is given up for it.
func (s *Seeker) missed(ctx context.Context, reason error, state State) {
	switch {
	case s.current == nil:
		if s.heard != state {
			s.cfg.Log.Warn("no designated resolver", "reason", reason)
		}
		s.hear(state)
	case s.cfg.Downgrade && state != Unknown && s.cfg.Down(s.current.Endpoint):
		if err := s.cfg.Use(ctx, nil); err != nil {
			s.cfg.Log.Error("the plain resolver cannot be used in place of the designated one", "error", err)
			return
		}
		s.cfg.Log.Warn("queries are no longer encrypted: the designated resolver is lost", "designated", s.current.String(), "reason", reason)
		s.current = nil
		s.hear(state)
	case !s.lost:
		s.cfg.Log.Warn("the designated resolver is not confirmed, and stays in use", "designated", s.current.String(), "reason", reason)
		s.lost = true
	}
}

// hear notes what is known now.
func (s *Seeker) hear(state State) {
	s.heard = state
	s.state.Store(uint32(state))
}

// local reports whether RFC 9462 §4.3 speaks of an address: on a private network, or this machine.
func local(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() }

// opportune returns the designation with nothing but the address of the plain resolver, if it has that one and both rules of §4.3 hold.
func (s *Seeker) opportune(d Designation) (Designation, bool) {
	if !s.cfg.Opportunistic || !local(s.cfg.Address) || !slices.Contains(d.Addrs, s.cfg.Address) {
		return d, false
	}
	d.Addrs = []netip.Addr{s.cfg.Address}
	return d, true
}
