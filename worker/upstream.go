package worker

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/concurrency"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/policy/acl"
	"secure-dns-proxy/worker/route"
	"secure-dns-proxy/worker/subnet"
	"secure-dns-proxy/worker/synth"
)

// upstream is one endpoint as one worker sees it. The Group makes it, the worker alone uses it, and the Group takes it back when gone is
// set.
type upstream struct {
	endpoint *transport.Endpoint
	health   *health.State
	lane     *transport.Lane // every scheme but udp; for udp the TCP lane that fetches truncated answers

	index       int16 // in worker.upstreams while the worker holds it
	held        bool
	retired     bool // no longer in the active selection
	outstanding int  // attempts under way

	id      uint64 // hash of its name
	weight  uint32
	most    int // cap on outstanding, this worker's share
	latency balance.Latency
	limit   concurrency.Limit

	sockets    []uint16 // udp: those that queries leave from, by number in the exchange table
	paths      []*path  // udp: the addresses of those sockets, and of some before
	opened     int      // udp: sockets opened so far
	port       uint16   // udp: the one of sockets that queries leave from in the turn drawn
	drawn      uint64
	subnetRest int64 // ns: not before this is it told clients' networks, which it has refused; 0: it never has
	openAgain  int64 // ns: not before this is a socket tried again that could not be opened

	stats  UpstreamStats
	public published[UpstreamStats]

	gone atomic.Bool // the worker holds nothing of it any more
}

// datagram reports whether exchanges go over the worker's own UDP sockets.
func (u *upstream) datagram() bool { return u.endpoint.Scheme == transport.UDP }

// selection is the part of a snapshot that a query reads.
type selection struct {
	pools      []*pool // the first is the default
	byTag      [wire.KeyPoolsMax]*pool
	shares     []cache.Share // as the shard was divided
	views      []*view       // by their numbers in the policy
	router     *route.Table  // nil: all names are the first pool's
	tier       *tierLink     // nil: no cache is shared with other instances
	inspect    *inspectLink  // nil: no inspector is asked
	asking     *inspectLink  // the same if it is asked about every query, else nil
	local      *local.Table
	listen     []netip.AddrPort
	access     []*acl.List // by listener; nil: everybody may ask
	silent     bool        // those who may not get no answer
	requests   Requests
	courses    [RequestKinds]*pool    // that requests are forwarded to; nil: that of the name
	dns64      *synth.DNS64           // nil: off
	rebinding  *synth.Rebinding       // nil: off
	transports [transport.Schemes]int // caps on worker.under

	queryTimeout, attemptTimeout  int64        // ns
	neverKept                     *route.Table // nil: none
	failureTTL, failureTTLMax     int64        // ns
	prefetchPercent, prefetchRate int          // the rate is this worker's share
	staleMax                      uint32

	jar         *cookie.Jar // nil: no cookies
	nxdomainCut bool
	nsid        string // "": not told
	limits      *Limits
	tailors     bool // some pool tells of clients' networks, or options are passed on
	passOptions []uint16
	passErrors  bool
}

// command is the state that a worker is to be in; it is complete, so a worker that misses one loses nothing.
type command struct {
	snapshot   *Snapshot
	upstreams  []*upstream  // this worker's, in the order of snapshot.Upstreams
	pools      []*poolState // this worker's, in the order of snapshot.Pools
	views      []*viewState // this worker's, in the order of snapshot.Views
	router     *route.Table
	local      *local.Table
	census     *census.Counter // this worker's; nil: nothing is counted
	access     []*acl.List
	listen     []netip.AddrPort // the listeners' addresses
	policy     *policy.Policy   // nil: no rules
	ruleHits   []*atomic.Uint64 // of all workers
	jar        *cookie.Jar
	neverKept  *route.Table  // nil: none
	tier       *tierLink     // this worker's; nil: none
	inspect    *inspectLink  // this worker's; nil: none
	relay      *relayLink    // this worker's; nil: nothing was ever forwarded
	cacheBytes int64         // this worker's share
	shares     []cache.Share // of pools and views in that
	node       *node         // that it shares with other workers; nil: none, table neither
	table      *shared.Table
	drain      bool // stop accepting, end when nothing is under way
	stop       bool // end now
}

// obey carries out the pending command.
func (w *worker) obey() {
	c := w.command.Load()
	w.adopt(c)
	w.adopted.Store(c)
}

// adopt brings the worker into the state that c describes.
func (w *worker) adopt(c *command) {
	w.setCache(c.cacheBytes)
	w.setShares(c)
	w.setCommon(c)
	w.forgetNever(c.neverKept)
	w.setUpstreams(c)
	w.setRelays(c.relay)
	w.setAdmission(c.snapshot.Admission)
	w.setLimits(c.snapshot)
	w.setShedding(&c.snapshot.Admission)
	w.blocks.census = c.census
	w.closeProhibited()
	w.setRules(c)
	if c.drain && !w.draining {
		w.startDraining()
	}
	if c.stop {
		w.stopped = true
	}
}

// setCache applies the cache limit; entries that fit stay. A shard that cannot be made or resized leaves the old one in use: the Group
// checked the size, so only the kernel can refuse.
func (w *worker) setCache(bytes int64) {
	switch {
	case bytes == 0 && w.cache != nil:
		if err := w.cache.Close(); err != nil {
			w.cfg.Log.Error("cache not unmapped", "worker", w.index, "error", err)
		}
		w.cache = nil
	case bytes != 0 && w.cache == nil:
		shard, err := cache.New(cache.Config{Bytes: bytes, Ahead: w.memory})
		if err != nil {
			w.cfg.Log.Error("no memory for the cache, going on without", "worker", w.index, "bytes", bytes, "error", err)
			return
		}
		w.cache = shard
	case bytes != 0:
		if err := w.cache.SetLimit(bytes); err != nil {
			w.cfg.Log.Error("cache keeps its old size", "worker", w.index, "bytes", bytes, "error", err)
		}
	}
}

// setUpstreams makes c's pools the active selection, takes hold of upstreams that are new and retires those that are no longer named.
func (w *worker) setUpstreams(c *command) {
	s := c.snapshot
	next := selection{
		router: c.router,
		local:  c.local,
		listen: c.listen,
		access: c.access, silent: s.Access.Silent,
		jar:          c.jar,
		nsid:         s.NSID,
		limits:       &s.Limits,
		queryTimeout: int64(s.QueryTimeout), attemptTimeout: int64(s.AttemptTimeout),
		staleMax: s.StaleMax, neverKept: c.neverKept,
		prefetchPercent: s.PrefetchPercent, prefetchRate: share(s.PrefetchRate, w.cfg.Workers),
		failureTTL: int64(s.FailureTTL), failureTTLMax: int64(s.FailureTTLMax),
	}
	next.tier = c.tier.set(&s.Tier)
	next.inspect = c.inspect.set(&s.Inspection)
	next.asking = next.inspect.at(inspect.AtQuery)
	next.passOptions, next.passErrors = s.PassOptions, s.PassErrors
	next.tailors = len(s.PassOptions) != 0 || c.policy != nil && c.policy.Tailors()
	for scheme, limits := range s.Transports {
		next.transports[scheme] = share(limits.MaxOutstanding, w.cfg.Workers)
	}
	next.requests, next.dns64, next.rebinding = s.Requests, s.DNS64, s.Rebinding
	next.nxdomainCut = s.NXDomainCut
	for i, u := range c.upstreams {
		u.weight, u.most = uint32(s.Upstreams[i].Weight), share(s.Upstreams[i].MaxOutstanding, w.cfg.Workers)
		if !u.held {
			u.id = balance.NameHash(u.endpoint.Name)
			u.limit = concurrency.New(w.cfg.Slots)
			w.hold(u)
		}
	}
	for i := range s.Pools {
		spec, state := &s.Pools[i], c.pools[i]
		var members []*upstream
		for _, m := range spec.Members {
			members = append(members, c.upstreams[m])
		}
		p := newPool(spec, state, members, w.cfg.Workers, w.random)
		p.ttls = s.ttls(spec)
		next.pools = append(next.pools, p)
		p.tells = spec.Subnet.Mode != subnet.Strip || c.policy != nil && c.policy.Tells()
		next.tailors = next.tailors || p.tells
		next.byTag[state.tag], w.poolStates[state.tag] = p, state
	}
	for _, sh := range w.active.shares { // those that are gone
		if sh.Partition != 0 {
			w.viewStates[sh.Partition].stats.CacheBytes = 0
		} else {
			w.poolStates[sh.Pool].stats.CacheBytes = 0
		}
	}
	next.shares = c.shares
	w.setViews(&next, c)
	for kind, course := range s.Requests.Kinds {
		if i := slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == course.Pool }); i >= 0 && course.Treatment == Forwarded {
			next.courses[kind] = next.pools[i]
		}
	}
	w.active = next
	w.forgetTailored()
	for _, u := range w.upstreams {
		if u != nil && !u.retired && !slices.Contains(c.upstreams, u) {
			u.retired = true
			w.letGo(u)
		}
	}
}

// hold gives u a place in the table and starts what the worker owns of it. The Group never hands over more than upstreamsKept.
func (w *worker) hold(u *upstream) {
	for i, other := range w.upstreams {
		if other == nil {
			u.index, u.held = int16(i), true
			w.upstreams[i] = u
			if u.lane != nil {
				w.lanes = append(w.lanes, laneRef{lane: u.lane, upstream: u})
			}
			if u.datagram() {
				w.openSockets(u)
			}
			return
		}
	}
	panic("worker: more upstreams than upstreamsKept")
}

// letGo gives a retired upstream back to the Group once no exchange goes to it.
func (w *worker) letGo(u *upstream) {
	if !u.retired || u.outstanding != 0 {
		return
	}
	if u.datagram() {
		w.closeSockets(u)
	}
	for i := range w.lanes {
		if w.lanes[i].upstream == u {
			w.lanes = append(w.lanes[:i], w.lanes[i+1:]...)
			break
		}
	}
	w.upstreams[u.index] = nil
	publish(&u.public, &u.stats, upstreamStatsWords)
	u.gone.Store(true)
}
