package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/drive"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
)

// Group is the set of workers of a process with the lanes that serve them. Its methods are safe from any goroutine; reloads and the drain
// are carried out one at a time.
type Group struct {
	cfg            Config
	engine, reason string
	steering       string // SteeringCPU or SteeringHash
	steeringReason string
	listen         []netip.AddrPort
	workers        []*worker
	wakers         []atomic.Pointer[ring.Waker] // lanes exist before the workers that they wake
	fault          chan error
	secret         cookie.Secret // of cookies, where none is configured
	threads        sync.WaitGroup
	farewells      sync.WaitGroup // goroutines that close retired members
	errands        atomic.Int32   // under way
	provider       sync.WaitGroup // the goroutine of provide
	stopProvider   chan struct{}

	nodes  []*node // with more than one worker
	nodeOf []*node // by worker; nil: it is alone on its node

	mu       sync.Mutex        // guards everything below
	members  []*member         // in the order of the current snapshot
	leaving  []*member         // retired, not yet closed
	commands []*command        // per worker, the last one given
	tier     []*tierLink       // per worker; nil: none
	lostTier []*tierLink       // of earlier snapshots, which a worker may still use
	inspect  []*inspectLink    // per worker; nil: none
	lostEyes []*inspectLink    // of earlier snapshots, as lostTier
	relays   []*relayLink      // per worker; nil: nothing was ever forwarded
	census   []*census.Counter // per worker; nil: nothing is counted
	never    never
	closed   bool
	past     map[string]*UpstreamReport       // figures of closed members by endpoint name, so that counters never fall
	pools    map[string][]*poolState          // of every pool there ever was, per worker
	views    map[string][]*viewState          // of every view, likewise
	rules    map[policy.RuleID]*atomic.Uint64 // hits of every rule there ever was
}

// member is one endpoint of the group: an upstream per worker, each with its lane.
type member struct {
	endpoint *transport.Endpoint
	perCore  []*upstream
}

// Start makes the workers and returns when all of them serve. The listeners belong to the workers from then on; on an error they are
// still the caller's to close.
func Start(cfg Config, ls *Listeners, snap *Snapshot) (*Group, error) {
	if err := errors.Join(cfg.validate(), snap.validate(cfg.Workers)); err != nil {
		return nil, err
	}
	nodes, err := cfg.nodeNumbers()
	if err != nil {
		return nil, err
	}
	return start(cfg, ls, snap, nodes)
}

// start is Start of workers that are on the NUMA nodes of those numbers.
func start(cfg Config, ls *Listeners, snap *Snapshot, nodes []int) (*Group, error) {
	if err := snap.Access.fits(len(ls.addrs)); err != nil {
		return nil, err
	}
	if len(ls.workers) != cfg.Workers {
		return nil, fmt.Errorf("listeners for %d workers, %d workers", len(ls.workers), cfg.Workers)
	}
	g := &Group{cfg: cfg, listen: ls.addrs, fault: make(chan error, cfg.Workers), secret: cookie.Random()}
	var err error
	if g.engine, g.reason, err = chooseEngine(cfg.Backend); err != nil {
		return nil, err
	}
	if g.steering, g.steeringReason = cfg.chooseSteering(); g.steering == SteeringCPU {
		if err := ls.steer(cfg.CPUs); err != nil {
			return nil, err
		}
	}
	g.workers = make([]*worker, cfg.Workers)
	g.wakers = make([]atomic.Pointer[ring.Waker], cfg.Workers)
	g.past = make(map[string]*UpstreamReport)
	g.pools = make(map[string][]*poolState)
	g.views = make(map[string][]*viewState)
	if err = errors.Join(g.tagPools(snap), g.tagViews(snap)); err != nil {
		return nil, err
	}
	if err = g.makeNodes(nodes); err != nil {
		return nil, err
	}
	tables, err := g.shareOut(snap)
	if err != nil {
		return nil, errors.Join(err, g.closeNodes())
	}
	g.useTables(tables)
	if g.members, err = g.enlist(snap); err != nil {
		return nil, errors.Join(err, g.closeNodes())
	}
	g.census = g.counters(snap)
	if g.tier, err = g.linkTier(snap.Tier.Store); err != nil {
		return nil, errors.Join(err, closeMembers(g.members), g.closeNodes())
	}
	if g.inspect, err = g.linkInspector(&snap.Inspection); err != nil {
		return nil, errors.Join(err, closeLinks(g.tier), closeMembers(g.members), g.closeNodes())
	}
	if err = g.linkRelays(snap); err != nil {
		return nil, errors.Join(err, closeLinks(g.tier), closeLinks(g.inspect), closeMembers(g.members), g.closeNodes())
	}
	g.commands = g.compose(snap)
	if err := g.launch(ls); err != nil {
		return nil, errors.Join(err, closeLinks(g.tier), closeLinks(g.inspect), closeLinks(g.relays), closeMembers(g.members), g.closeNodes())
	}
	g.stopProvider = make(chan struct{})
	g.provider.Go(func() { g.provide(g.stopProvider) })
	return g, nil
}

// launch starts the threads one after the other; if one cannot start, those before it are stopped.
func (g *Group) launch(ls *Listeners) error {
	seed := maphash.MakeSeed()
	for i := range g.commands {
		ready := make(chan error)
		g.threads.Add(1)
		go g.thread(i, seed, ls.workers[i], ready)
		if err := <-ready; err != nil {
			g.change(func(c *command) { c.stop = true })
			g.threads.Wait()
			return fmt.Errorf("worker %d: %w", i, err)
		}
	}
	return nil
}

// thread is one worker from pinning to release. The goroutine ends locked, so that its thread ends with it and the kernel drops what the
// thread still had under way.
func (g *Group) thread(i int, seed maphash.Seed, row []listener, ready chan<- error) {
	defer g.threads.Done()
	defer func() {
		if p := recover(); p != nil {
			g.fault <- fmt.Errorf("worker %d: %v\n%s", i, p, debug.Stack())
		}
	}()
	runtime.LockOSThread()
	if err := g.place(i); err != nil {
		ready <- err
		return
	}
	w, err := newWorker(&g.cfg, i, g.engine, seed, g.commands[i], row)
	if err != nil {
		ready <- err
		return
	}
	g.workers[i] = w
	g.wakers[i].Store(w.waker)
	ready <- nil
	w.run()
	if err := w.release(); err != nil {
		g.cfg.Log.Error("worker not released", "worker", i, "error", err)
	}
}

// enlist returns the members for a snapshot: those of the current one that it names again, and new ones with running lanes for the rest.
func (g *Group) enlist(snap *Snapshot) ([]*member, error) {
	var list, fresh []*member
	for i := range snap.Upstreams {
		e := snap.Upstreams[i].Endpoint
		m := g.find(e)
		if m == nil {
			var err error
			if m, err = g.recruit(e); err != nil {
				return nil, errors.Join(fmt.Errorf("upstream %s: %w", e.Name, err), closeMembers(fresh))
			}
			fresh = append(fresh, m)
		}
		list = append(list, m)
	}
	return list, nil
}

// tagPools gives every pool that is new a tag and figures of its own. Tags are never used again: the cache holds keys with them.
func (g *Group) tagPools(snap *Snapshot) error {
	for i := range snap.Pools {
		name := snap.Pools[i].Name
		if g.pools[name] != nil {
			continue
		}
		tag := len(g.pools)
		if tag == wire.KeyPoolsMax {
			return fmt.Errorf("pool %q: %d pools have had names since the start, more need a restart", name, tag)
		}
		for range g.cfg.Workers {
			g.pools[name] = append(g.pools[name], &poolState{tag: uint8(tag)})
		}
	}
	return nil
}

// find returns the current member of an endpoint.
func (g *Group) find(e *transport.Endpoint) *member {
	for _, m := range g.members {
		if m.endpoint == e {
			return m
		}
	}
	return nil
}

// recruit makes a member and starts its lanes, one per worker.
func (g *Group) recruit(e *transport.Endpoint) (*member, error) {
	m := &member{endpoint: e}
	connected := e
	if e.Scheme == transport.UDP { // the lane fetches truncated answers
		over := *e
		over.Scheme, over.Prewarm, over.Health = transport.TCP, false, nil
		connected = &over
	}
	for i := range g.cfg.Workers {
		lane, err := transport.NewLane(connected, g.wake(i), laneLimits(g.cfg.Slots))
		if err != nil {
			return nil, errors.Join(err, closeMembers([]*member{m}))
		}
		if err := drive.Start(lane); err != nil {
			return nil, errors.Join(err, lane.Close(context.Background()), closeMembers([]*member{m}))
		}
		m.perCore = append(m.perCore, &upstream{endpoint: e, health: e.Health.(*health.State), lane: lane, index: inflight.NoUpstream})
	}
	return m, nil
}

// laneLimits sizes a lane so that all slots of a worker may wait for one upstream: a record of 32 bytes each in the queue of answers is
// kept for failures, beside the default's room for answers.
func laneLimits(slots int) transport.LaneLimits {
	extra := max(slots-transport.OutstandingDefault, 0) * 32
	return transport.LaneLimits{
		Outstanding:      max(slots, transport.OutstandingDefault),
		QueryQueueBytes:  transport.QueryQueueDefault,
		AnswerQueueBytes: powerOfTwo(transport.AnswerQueueDefault + extra),
	}
}

// powerOfTwo returns the smallest power of two that is at least n.
func powerOfTwo(n int) int { return 1 << bits.Len(uint(n-1)) }

// wake returns the function by which lanes wake worker i.
func (g *Group) wake(i int) func() {
	return func() {
		if waker := g.wakers[i].Load(); waker != nil {
			waker.Wake()
		}
	}
}

// closeMembers closes the lanes of members that no worker holds.
func closeMembers(members []*member) error {
	ctx, cancel := context.WithTimeout(context.Background(), laneCloseTimeout)
	defer cancel()
	var errs []error
	for _, m := range members {
		for _, u := range m.perCore {
			errs = append(errs, u.lane.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// compose returns the commands that put the workers into the state of snap with the current members.
func (g *Group) compose(snap *Snapshot) []*command {
	commands := make([]*command, g.cfg.Workers)
	router, _ := snap.router() // validated, as all of snap
	answers, _ := local.New(&snap.Local)
	access, _ := snap.Access.compile()
	compiled, _ := snap.compileRules(g.cfg.Workers)
	hits := g.ruleHits(compiled)
	g.never.set(snap.NeverKept)
	jar, _ := snap.jar(g.secret)
	memory := g.apportion(snap)
	for i := range commands {
		c := &command{
			snapshot: snap, router: router, local: answers, access: access, listen: g.listen, policy: compiled, ruleHits: hits, jar: jar, neverKept: g.never.table, cacheBytes: memory.perWorker, shares: memory.shares,
		}
		if c.node = g.nodeOf[i]; c.node != nil {
			c.table = c.node.table
		}
		if len(g.tier) != 0 {
			c.tier = g.tier[i]
		}
		if len(g.inspect) != 0 {
			c.inspect = g.inspect[i]
		}
		if len(g.relays) != 0 {
			c.relay = g.relays[i]
		}
		if len(g.census) != 0 {
			c.census = g.census[i]
		}
		for _, p := range snap.Pools {
			c.pools = append(c.pools, g.pools[p.Name][i])
		}
		for _, v := range snap.Views {
			c.views = append(c.views, g.views[v.Name][i])
		}
		for _, m := range g.members {
			c.upstreams = append(c.upstreams, m.perCore[i])
		}
		commands[i] = c
	}
	return commands
}

// post makes list the commands of the workers and wakes them.
func (g *Group) post(list []*command) {
	g.commands = list
	for i, c := range list {
		if w := g.workers[i]; w != nil {
			w.command.Store(c)
			w.waker.Wake()
		}
	}
}

// change posts a changed copy of the current commands.
func (g *Group) change(edit func(*command)) {
	list := make([]*command, len(g.commands))
	for i, c := range g.commands {
		next := *c
		edit(&next)
		list[i] = &next
	}
	g.post(list)
}

// Reload puts snap in place of the current snapshot and returns once every worker has adopted it. The cache, the TCP clients and the
// connections to upstreams that stay are kept; upstreams that are gone finish what is under way. On an error nothing has changed.
func (g *Group) Reload(snap *Snapshot) error {
	if err := errors.Join(snap.validate(g.cfg.Workers), snap.Access.fits(len(g.listen))); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.New("reload: stopping")
	}
	if len(g.members)+len(g.leaving)+len(snap.Upstreams) > upstreamsKept {
		return errors.New("reload: upstreams of earlier reloads are still finishing, try again in a few seconds")
	}
	if err := errors.Join(g.tagPools(snap), g.tagViews(snap)); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	tables, err := g.shareOut(snap)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	before, eyesBefore := g.tier, g.inspect
	links, err := g.linkTier(snap.Tier.Store)
	if err != nil {
		return errors.Join(err, g.discard(tables))
	}
	eyes, err := g.linkInspector(&snap.Inspection)
	if err != nil {
		return errors.Join(err, closeFresh(links, before), g.discard(tables))
	}
	if err := g.linkRelays(snap); err != nil {
		return errors.Join(err, closeFresh(links, before), closeFresh(eyes, eyesBefore), g.discard(tables))
	}
	members, err := g.enlist(snap)
	if err != nil {
		return errors.Join(err, closeFresh(links, before), closeFresh(eyes, eyesBefore), g.discard(tables))
	}
	g.tier, g.inspect = links, eyes
	for _, m := range g.members {
		if !slices.Contains(members, m) {
			g.leaving = append(g.leaving, m)
			g.farewells.Go(func() { g.farewell(m) })
		}
	}
	g.members = members
	g.census = g.counters(snap)
	old := g.useTables(tables)
	g.post(g.compose(snap))
	err = g.adopted()
	retireLinks(g, before, g.tier, &g.lostTier, err == nil)
	retireLinks(g, eyesBefore, g.inspect, &g.lostEyes, err == nil)
	if err != nil {
		return err // a worker that is stuck may still use an old table
	}
	return g.discard(old)
}

// adopted waits until every worker has carried out its command.
func (g *Group) adopted() error {
	for waited := time.Duration(0); ; waited += ackPoll {
		pending := 0
		for i, w := range g.workers {
			if w.adopted.Load() != g.commands[i] {
				pending++
			}
		}
		if pending == 0 {
			return nil
		}
		if waited > ackTimeout {
			return fmt.Errorf("%d of %d workers have not adopted the change in %v", pending, len(g.workers), ackTimeout)
		}
		time.Sleep(ackPoll)
	}
}

// farewell closes a retired member once no worker holds it, and keeps its figures.
func (g *Group) farewell(m *member) {
	deadline := time.Now().Add(QueryTimeoutMax + laneCloseTimeout)
	for !m.gone() && time.Now().Before(deadline) && !g.stopped() {
		time.Sleep(goneGrain)
	}
	if err := closeMembers([]*member{m}); err != nil {
		g.cfg.Log.Error("removed upstream not closed", "upstream", m.endpoint.Name, "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving = slices.DeleteFunc(g.leaving, func(other *member) bool { return other == m })
	sum := g.past[m.endpoint.Name]
	if sum == nil {
		sum = new(UpstreamReport)
		g.past[m.endpoint.Name] = sum
	}
	m.addTo(sum)
	sum.Stats.InFlight, sum.Connections = 0, 0
}

// stopped reports whether the threads were told to end.
func (g *Group) stopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// gone reports whether every worker has let go of the member.
func (m *member) gone() bool {
	for _, u := range m.perCore {
		if !u.gone.Load() {
			return false
		}
	}
	return true
}

// Drain stops accepting, answers what is under way and ends the workers and their lanes. When ctx ends first, what is still under way
// is given up and the error says so. Everything is released when it returns; later calls return nil.
func (g *Group) Drain(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.change(func(c *command) { c.drain = true })
	g.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		g.threads.Wait()
		close(ended)
	}()
	var given error
	select {
	case <-ended:
	case <-ctx.Done():
		g.mu.Lock()
		g.change(func(c *command) { c.stop = true })
		g.mu.Unlock()
		<-ended
		if s := g.Stats(); s.Waiters != 0 {
			given = fmt.Errorf("drain: %d queries were given up", s.Waiters)
		}
	}
	close(g.stopProvider)
	g.provider.Wait()
	g.farewells.Wait()
	return errors.Join(given, closeLinks(g.tier), closeLinks(g.lostTier), closeLinks(g.inspect), closeLinks(g.lostEyes), closeLinks(g.relays), closeMembers(g.members), g.closeNodes())
}

// Fault delivers the error of a worker that died. The process must end: its share of the traffic is no longer served.
func (g *Group) Fault() <-chan error { return g.fault }

// Engine returns the engine in use and, where io_uring was wanted and is not used, why.
func (g *Group) Engine() (name, reason string) { return g.engine, g.reason }
