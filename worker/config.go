package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/stream"
)

// Config is what stays fixed for the life of the process.
type Config struct {
	Workers         int           // threads, 1 to WorkersMax
	CPUs            []int         // one per worker; empty: not pinned
	Steering        string        // SteeringAuto, SteeringCPU or SteeringHash
	Receivers       []int         // CPUs on which the kernel receives from the network; empty: not known. Only for SteeringAuto
	Backend         string        // BackendAuto, BackendUring or BackendMmsg
	BusyPoll        time.Duration // the engines' waits poll network cards for so long before they sleep, 0 to ring.BusyPollMax; see Listeners.BusyPoll
	Slots           int           // exchanges under way per worker, at least SlotsMin
	Waiters         int           // clients waiting for them per worker, at least Slots
	UDPSizeMax      uint16        // largest reply over UDP in bytes, 512 to 4096; also announced as our EDNS size
	TCP             stream.Config
	RecvBufferBytes int // asked for upstream sockets; 0 leaves the kernel's default
	Log             *slog.Logger
}

// validate returns everything that is wrong, joined.
func (c *Config) validate() error {
	var errs []error
	if c.Workers < 1 || c.Workers > WorkersMax {
		errs = append(errs, fmt.Errorf("workers %d: want 1 to %d", c.Workers, WorkersMax))
	}
	if len(c.CPUs) != 0 && len(c.CPUs) != c.Workers {
		errs = append(errs, fmt.Errorf("%d CPUs for %d workers: want one each, or none", len(c.CPUs), c.Workers))
	}
	if err := c.validateSteering(); err != nil {
		errs = append(errs, err)
	}
	if c.Slots < SlotsMin {
		errs = append(errs, fmt.Errorf("in-flight slots %d: want at least %d", c.Slots, SlotsMin))
	}
	if c.Waiters < c.Slots {
		errs = append(errs, fmt.Errorf("waiters %d: want at least as many as slots (%d)", c.Waiters, c.Slots))
	}
	if c.UDPSizeMax < 512 || c.UDPSizeMax > UDPSizeLimit {
		errs = append(errs, fmt.Errorf("UDP payload size %d: want 512 to %d", c.UDPSizeMax, UDPSizeLimit))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no logger"))
	}
	return errors.Join(errs...)
}

// inflightConfig returns the sizes of one worker's in-flight table.
func (c *Config) inflightConfig() inflight.Config {
	return inflight.Config{Slots: c.Slots, Waiters: c.Waiters}
}

// Snapshot is what a reload replaces as a whole. It is immutable once handed over.
type Snapshot struct {
	// Upstreams in the configured order, 1 to balance.UpstreamsMax, each with a *health.State as its Health. An endpoint that is the
	// same pointer as in the snapshot before keeps its connections.
	Upstreams []*transport.Endpoint
	Policy    balance.Policy

	CacheBytes     int64  // of all workers together; 0: no cache
	TTLMin, TTLMax uint32 // seconds; positive answers are kept and shown within these
	NegativeTTLMax uint32 // seconds; NXDOMAIN and NODATA

	QueryTimeout   time.Duration // from the query to SERVFAIL
	AttemptTimeout time.Duration // one exchange with one upstream
}

// validate returns everything that is wrong, joined.
func (s *Snapshot) validate(workers int) error {
	var errs []error
	if n := len(s.Upstreams); n < 1 || n > balance.UpstreamsMax {
		errs = append(errs, fmt.Errorf("%d upstreams: want 1 to %d", n, balance.UpstreamsMax))
	}
	for i, e := range s.Upstreams {
		if _, ok := e.Health.(*health.State); !ok {
			errs = append(errs, fmt.Errorf("upstream %d (%s): its Health is no *health.State", i, e.Name))
		}
	}
	if per := s.CacheBytes / int64(max(workers, 1)); s.CacheBytes != 0 && per < cache.BytesMin {
		errs = append(errs, fmt.Errorf("cache of %d bytes for %d workers: want at least %d each", s.CacheBytes, workers, int64(cache.BytesMin)))
	}
	if s.TTLMin > s.TTLMax {
		errs = append(errs, fmt.Errorf("minimum TTL %d is above the maximum %d", s.TTLMin, s.TTLMax))
	}
	if s.AttemptTimeout <= 0 || s.QueryTimeout < s.AttemptTimeout || s.QueryTimeout > QueryTimeoutMax {
		errs = append(errs, fmt.Errorf("timeouts: query %v, attempt %v: want 0 < attempt <= query <= %v", s.QueryTimeout, s.AttemptTimeout, QueryTimeoutMax))
	}
	return errors.Join(errs...)
}
