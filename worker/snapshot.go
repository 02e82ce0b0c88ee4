package worker

import (
	"errors"
	"fmt"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/route"
	"secure-dns-proxy/worker/subnet"
	"secure-dns-proxy/worker/synth"
)

// Snapshot is what a reload replaces as a whole. It is immutable once handed over.
type Snapshot struct {
	Upstreams  []Upstream // 1 to UpstreamsMax, each endpoint once
	Pools      []Pool     // 1 to PoolsMax, with names of their own; the first one takes every query that no other claims
	Transports [transport.Schemes]TransportCap

	Access   Access     // who may ask
	Local    local.Spec // what is answered here
	Rules    []policy.Rule
	Views    []View
	Requests Requests // what becomes of requests that are no queries of class IN

	DNS64     *synth.DNS64     // nil: off
	Rebinding *synth.Rebinding // nil: off

	NXDomainCut bool // names below one that does not exist are not asked for (RFC 8020)

	CacheBytes      int64  // of all workers together; 0: no cache
	SharedPercent   int    // of CacheBytes that the workers of a NUMA node share, 0 to SharedPercentMax; 0: none
	TTLMin, TTLMax  uint32 // seconds; positive answers are kept and shown within these
	NegativeTTLMin  uint32 // seconds; NXDOMAIN and NODATA
	NegativeTTLMax  uint32
	NeverKept       [][]byte      // suffixes of names that are not cached; wire form, lower case
	PrefetchPercent int           // of the TTL at its end, 0 to PrefetchPercentMax: popular answers that are asked for then are refreshed; 0: none is
	PrefetchRate    int           // such refreshes a second, of all workers, 1 and more
	FailureTTL      time.Duration // how long a failure is remembered, up to FailureTTLMax; 0: not at all
	FailureTTLMax   time.Duration // how long when it repeats itself, up to FailureTTLLimit
	StaleMax        uint32        // seconds: how long past its TTL an answer may be served by a pool whose WhenDown is Stale

	Tier       Tier       // asked between cache and upstreams
	Inspection Inspection // asked before both
	Admission  Admission
	Census     *census.Config // what is counted for dynamic blocks; nil: nothing
	Cookies    Cookies
	Limits     Limits
	NSID       string // what clients that ask for it are told that this server is (RFC 5001), at most wire.NSIDBytesMax bytes; "": nothing

	PassOptions []uint16 // codes of clients' EDNS options that are sent on, up to PassOptionsMax; none of those that mean something here
	PassErrors  bool     // upstreams' extended errors (RFC 8914) are told

	QueryTimeout   time.Duration // from the query to SERVFAIL
	AttemptTimeout time.Duration // one exchange with one upstream
}

// Upstream is an endpoint with what may change while its connections stay. An endpoint that is the same pointer as in the snapshot before
// keeps its lanes. Its Health is a *health.State.
type Upstream struct {
	Endpoint       *transport.Endpoint
	Weight         int // 1 to balance.WeightMax
	MaxOutstanding int // exchanges under way, all workers together; 0: no cap
}

// TransportCap bounds what all upstreams of one scheme may have under way together.
type TransportCap struct {
	MaxOutstanding int // all workers together; 0: no cap
}

// WhenDown is what becomes of a query while no upstream of its pool is healthy.
type WhenDown uint8

const (
	Best     WhenDown = iota // one that is down is asked all the same: better a sick answer than none
	Stale                    // an answer past its TTL if there is one, else as Best; also when an upstream fails under the query
	ServFail                 // SERVFAIL at once
)

// WhenDownNames are the names used in the configuration, by value.
var WhenDownNames = [...]string{"best", "stale", "servfail"}

// Pool is a set of upstreams that names are sent to.
type Pool struct {
	Name         string
	Members      []int // indices into Snapshot.Upstreams, 1 to balance.UpstreamsMax, each once
	Policy       balance.Policy
	Fanout       int         // Race: how many are asked at once; 0: all, up to inflight.ExchangesMax
	HedgePercent int         // Hedged: second exchanges, in percent of the queries of the last seconds
	RetryPercent int         // retries and hedges together, in percent, beside a floor for quiet times
	LoadPercent  int         // Hash: how much of the mean load one upstream may carry, above 100
	TTLs         *TTLBounds  // of its answers; nil: those of the snapshot
	Suffixes     [][]byte    // names that end in one of these belong to this pool; wire form, lower case. None for the first pool
	Subnet       subnet.Spec // what upstreams are told of clients' networks
	CacheBytes   int64       // of the cache for it alone; 0: it has its answers among those of others
	NoCache      bool        // answers are neither kept nor taken from the cache
	WhenDown     WhenDown

	StaleAfter time.Duration // WhenDown Stale: an older answer is given to a client that has waited so long; 0: only when the query has failed
	NeverStale [][]byte      // WhenDown Stale: suffixes of names that are not; wire form, lower case

	MaxOutstanding int  // exchanges under way, all workers together; 0: no cap
	MaxRate        int  // exchanges a second, likewise, a second's worth at once; up to PoolRateMax
	Adaptive       bool // limits below the static ones follow the latency that is seen (transport/concurrency)
}

// validate returns everything that is wrong, joined.
func (s *Snapshot) validate(workers int) error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(s.Upstreams); n < 1 || n > UpstreamsMax {
		complain("%d upstreams: want 1 to %d", n, UpstreamsMax)
	}
	for i, u := range s.Upstreams {
		if _, ok := u.Endpoint.Health.(*health.State); !ok {
			complain("upstream %d (%s): its Health is no *health.State", i, u.Endpoint.Name)
		}
		if u.Weight < 1 || u.Weight > balance.WeightMax {
			complain("upstream %d (%s): weight %d: want 1 to %d", i, u.Endpoint.Name, u.Weight, balance.WeightMax)
		}
	}
	if n := len(s.Pools); n < 1 || n > PoolsMax {
		complain("%d pools: want 1 to %d", n, PoolsMax)
	}
	names := map[string]bool{}
	for i := range s.Pools {
		p := &s.Pools[i]
		if names[p.Name] {
			complain("pool %q: name stands twice", p.Name)
		}
		names[p.Name] = true
		if err := p.validate(len(s.Upstreams)); err != nil {
			complain("pool %q: %w", p.Name, err)
		}
	}
	if _, err := s.router(); err != nil {
		errs = append(errs, err)
	}
	if _, err := local.New(&s.Local); err != nil {
		errs = append(errs, err)
	}
	if _, err := s.Access.compile(); err != nil {
		errs = append(errs, err)
	}
	if err := s.Tier.validate(s.CacheBytes); err != nil {
		errs = append(errs, err)
	}
	if err := s.Inspection.validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := s.compileRules(workers); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, s.validateViews(), s.validateShares(workers))
	if per := s.CacheBytes / int64(max(workers, 1)); s.CacheBytes != 0 && per < cache.BytesMin {
		complain("cache of %d bytes for %d workers: want at least %d each", s.CacheBytes, workers, int64(cache.BytesMin))
	}
	if s.SharedPercent < 0 || s.SharedPercent > SharedPercentMax {
		complain("%d percent of the cache shared: want 0 to %d", s.SharedPercent, SharedPercentMax)
	}
	if n := len(s.PassOptions); n > PassOptionsMax {
		complain("%d EDNS options to pass on: want at most %d", n, PassOptionsMax)
	}
	for _, code := range s.PassOptions {
		if wire.OwnOption(code) {
			complain("EDNS option %d to pass on: it means something here", code)
		}
	}
	all := s.ttls(&Pool{})
	errs = append(errs, all.validate())
	if _, err := suffixTable(s.NeverKept); err != nil {
		complain("never cached: %w", err)
	}
	if s.PrefetchPercent < 0 || s.PrefetchPercent > PrefetchPercentMax || s.PrefetchPercent != 0 && s.PrefetchRate < 1 {
		complain("prefetch in the last %d percent of a TTL, %d a second: want 0 to %d percent, and at least 1 a second", s.PrefetchPercent, s.PrefetchRate, PrefetchPercentMax)
	}
	if s.FailureTTL < 0 || s.FailureTTL > s.FailureTTLMax || s.FailureTTLMax > FailureTTLLimit {
		complain("failures are remembered for %v to %v: want 0 <= first <= last <= %v", s.FailureTTL, s.FailureTTLMax, FailureTTLLimit)
	}
	if s.AttemptTimeout <= 0 || s.QueryTimeout < s.AttemptTimeout || s.QueryTimeout > QueryTimeoutMax {
		complain("timeouts: query %v, attempt %v: want 0 < attempt <= query <= %v", s.QueryTimeout, s.AttemptTimeout, QueryTimeoutMax)
	}
	if _, err := s.jar(cookie.Secret{}); err != nil {
		errs = append(errs, err)
	}
	if len(s.NSID) > wire.NSIDBytesMax {
		complain("NSID of %d bytes: want at most %d", len(s.NSID), wire.NSIDBytesMax)
	}
	if err := s.Limits.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := s.Admission.Validate(); err != nil {
		errs = append(errs, err)
	}
	if s.Census != nil {
		if err := s.Census.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := s.validateRequests(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *Pool) validate(upstreams int) error {
	var errs []error
	if n := len(p.Members); n < 1 || n > balance.UpstreamsMax {
		errs = append(errs, fmt.Errorf("%d upstreams: want 1 to %d", n, balance.UpstreamsMax))
	}
	seen := map[int]bool{}
	for _, m := range p.Members {
		if m < 0 || m >= upstreams || seen[m] {
			errs = append(errs, fmt.Errorf("upstream %d: stands twice or is none of %d", m, upstreams))
		}
		seen[m] = true
	}
	if p.Fanout < 0 || p.Fanout > inflight.ExchangesMax {
		errs = append(errs, fmt.Errorf("fan-out %d: want 0 to %d", p.Fanout, inflight.ExchangesMax))
	}
	if p.Policy == balance.Hash && p.LoadPercent <= 100 {
		errs = append(errs, fmt.Errorf("load of %d percent of the mean: want more than 100", p.LoadPercent))
	}
	if p.TTLs != nil {
		errs = append(errs, p.TTLs.validate())
	}
	if p.MaxRate < 0 || p.MaxRate > PoolRateMax {
		errs = append(errs, fmt.Errorf("%d exchanges a second: want 0 to %d", p.MaxRate, PoolRateMax))
	}
	if p.StaleAfter < 0 {
		errs = append(errs, fmt.Errorf("stale answers after %v", p.StaleAfter))
	}
	if err := p.Subnet.Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := suffixTable(p.NeverStale); err != nil {
		errs = append(errs, fmt.Errorf("never stale: %w", err))
	}
	if p.HedgePercent < 0 || p.HedgePercent > 100 || p.RetryPercent < 0 || p.RetryPercent > 100 {
		errs = append(errs, fmt.Errorf("hedges %d percent, retries %d percent: want 0 to 100", p.HedgePercent, p.RetryPercent))
	}
	return errors.Join(errs...)
}

// suffixTable returns a table that holds suffixes; nil if there are none.
func suffixTable(suffixes [][]byte) (*route.Table, error) {
	if len(suffixes) == 0 {
		return nil, nil
	}
	table := route.New()
	for _, suffix := range suffixes {
		if err := table.Add(suffix, 0); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// router returns the table of suffixes, with indices of pools; nil if there are none.
func (s *Snapshot) router() (*route.Table, error) {
	table := route.New()
	for i := range s.Pools {
		for _, suffix := range s.Pools[i].Suffixes {
			if i == 0 {
				return nil, fmt.Errorf("pool %q: the first pool has every name that no other claims, and no suffix", s.Pools[0].Name)
			}
			if err := table.Add(suffix, uint8(i)); err != nil {
				return nil, fmt.Errorf("pool %q: %w", s.Pools[i].Name, err)
			}
		}
	}
	if table.Len() == 0 {
		return nil, nil
	}
	return table, nil
}
