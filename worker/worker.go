package worker

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/do53"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/stream"
	"secure-dns-proxy/worker/subnet"
)

// Tags of datagram sockets: listeners carry their index, upstream sockets carry upstreamTag plus their index in worker.sockets. Tags of
// streams are their stream.ConnID; event kinds tell streams from datagrams.
const upstreamTag = 1 << 31

// worker is one core: an engine, a cache shard, an in-flight table and a table of TCP clients, used by one locked thread only. Other
// goroutines reach it through commands (an atomic pointer), its lanes' queues and the engine's Waker.
type worker struct {
	cfg   *Config
	index int

	eng        Engine
	waker      *ring.Waker
	seed       maphash.Seed
	cache      *cache.Shard // nil: no cache
	common     common       // of the workers of its NUMA node
	memory     *cache.Ahead // provides the cache's memory before it is touched; nil in tests of turns
	failures   *cache.Failures
	denials    *cache.Denials
	scopes     *subnet.Scopes
	prefetches balance.Budget
	table      *inflight.Table
	conns      *stream.Table
	dirty      []stream.ConnID // connections with output or input to look at when the turn ends

	listeners []ring.Handle // datagram sockets of clients, by tag
	acceptors []ring.Handle
	gate      gate
	blocks    blocks
	zones     zones
	shedding  shedding
	relays    relays

	upstreams  [upstreamsKept]*upstream     // by upstream.index; nil: free
	poolStates [wire.KeyPoolsMax]*poolState // by tag
	viewStates [viewTags]*viewState         // by tag
	under      [transport.Schemes]int       // exchanges under way by scheme
	random     *rand.Rand                   // for choosers
	active     selection
	lanes      []laneRef
	exchanges  *do53.Table
	sockets    []upstreamSocket // by number in the exchange table

	clock    func() time.Duration // transport.Now; virtual in tests
	wall     func() int64         // transport.Unix; virtual in tests
	now      int64                // ns since transport.Base, read once per turn
	draining bool
	stopped  bool
	busy     bool // the last turn had work
	tending  bool // the cache or an errand has more to do

	// scratch of the query in hand
	candidates [balance.UpstreamsMax]balance.Candidate
	ahead      [lookahead]lookup // queries over UDP of the group of events in hand
	single     lookup            // a query over TCP
	hashes     [lookahead]uint64
	warmed     uint64 // keeps the loads of cache.Warm
	client     wire.Client
	answer     wire.Answer
	drafted    *tierLink // whose line holds the draft of a fill; nil: none does
	scratch    wire.ResponseScratch
	trimmed    *wire.Assembly // of answers with strangers
	made       *wire.Assembly // of answers of our own making
	derived    [wire.KeyBytesMax]byte
	question   [wire.QuestionBytesMax]byte
	request    [wire.PaddedQueryBytesMax]byte
	asked      asked                      // by the client of the query in hand
	options    [wire.ReplyOptionsMax]byte // of the reply

	limiter                 *limit.Limiter // nil: nobody is limited
	slipped, repliesSlipped int            // since the last one that got TC

	wallSeconds uint32 // the wall clock as it was less than a second ago
	wallAgain   int64  // ns: when it is looked at again

	scope   uint8                       // of w.answer, for clients that have sent their network
	picked  [wire.PassedOptionsMax]byte // options that are passed on or back
	scoped  [wire.KeyBytesMax]byte      // a key of the cache for a network
	bare    [wire.KeyBytesMax]byte      // a key that tells no network
	found   []byte                      // key of the cache's answer to a query with a variant
	rules   rules
	held    held // answers that wait for a verdict
	journal atomic.Pointer[journal]

	stats       Stats
	hits        uint64 // since the turn began
	publishedAt int64
	public      published[Stats]
	limited     atomic.Pointer[[]LimitedSource]
	overload    atomic.Pointer[Overload] // the last one that began or ended

	errands atomic.Pointer[errand] // that were handed over, the last one first
	chores  []*errand              // that the worker has taken on

	command atomic.Pointer[command]
	adopted atomic.Pointer[command] // the last one carried out
}

// newWorker builds everything that a worker owns and starts to receive. It must run on the thread that will run the worker: the engine
// belongs to its thread, and memory is first touched there. On an error nothing of the worker is left.
func newWorker(cfg *Config, index int, engine string, seed maphash.Seed, first *command, row []listener) (*worker, error) {
	w := &worker{cfg: cfg, index: index, seed: seed, clock: transport.Now, wall: transport.Unix, memory: new(cache.Ahead), random: newRandom()}
	w.zones.next.Store(cfg.Policies)
	cpu := -1
	if len(cfg.CPUs) != 0 {
		cpu = cfg.CPUs[index]
	}
	sockets := cfg.TCP.Conns + 2*len(row) + do53.SocketsMax
	var err error
	if w.eng, err = openEngine(engine, ring.Config{CPU: cpu, Sockets: sockets, BusyPoll: cfg.BusyPoll}); err != nil {
		return nil, fmt.Errorf("engine %s: %w", engine, err)
	}
	if err = w.begin(first, row); err != nil {
		return nil, errors.Join(err, w.release())
	}
	return w, nil
}

// newRandom returns a source that nobody can predict.
func newRandom() *rand.Rand {
	var seed [32]byte
	crand.Read(seed[:]) // Never fails: it ends the program instead.
	return rand.New(rand.NewChaCha8(seed))
}

// begin makes what the worker owns beside its engine, and starts to receive.
func (w *worker) begin(first *command, row []listener) error {
	w.waker = w.eng.Waker()
	if err := w.furnish(); err != nil {
		return err
	}
	w.tick()
	w.adopt(first)
	w.command.Store(first)
	w.adopted.Store(first)
	w.memory.Work() // the cache's index, while nobody waits
	return w.attach(row)
}

// furnish makes the tables.
func (w *worker) furnish() (err error) {
	if w.table, err = inflight.New(w.cfg.inflightConfig()); err != nil {
		return fmt.Errorf("in-flight table: %w", err)
	}
	if w.conns, err = stream.New(w.cfg.TCP); err != nil {
		return fmt.Errorf("table of TCP clients: %w", err)
	}
	if w.exchanges, err = do53.New(do53.Config{Exchanges: min(2*w.cfg.Slots, do53.ExchangesMax)}); err != nil {
		return fmt.Errorf("table of Do53 exchanges: %w", err)
	}
	if w.failures, err = cache.NewFailures(); err != nil {
		return err
	}
	if w.denials, err = cache.NewDenials(); err != nil {
		return err
	}
	w.trimmed, w.made = new(wire.Assembly), new(wire.Assembly)
	if w.scopes, err = subnet.NewScopes(); err != nil {
		return err
	}
	w.found = make([]byte, 0, wire.KeyBytesMax)
	w.sockets = make([]upstreamSocket, do53.SocketsMax)
	w.dirty = make([]stream.ConnID, 0, w.cfg.TCP.Conns)
	return nil
}

// attach hands the listening sockets of this worker to its engine.
func (w *worker) attach(row []listener) error {
	for i := range row {
		l := &row[i]
		fd := l.udp
		l.udp = -1
		h, err := w.eng.AddDatagram(fd, uint32(i), l.wildcard)
		if err != nil {
			return fmt.Errorf("UDP listener: %w", err)
		}
		w.gate.sockets = append(w.gate.sockets, gateSocket{fd: fd})
		w.listeners = append(w.listeners, h)
		if h, err = w.eng.AddListener(l.tcp, uint32(i)); err != nil {
			return fmt.Errorf("TCP listener: %w", err)
		}
		l.tcp = -1
		w.acceptors = append(w.acceptors, h)
	}
	return nil
}

// run is the life of the thread after its set-up.
func (w *worker) run() {
	for !w.stopped && !w.drained() {
		w.turn()
	}
	w.eng.Turn(0) // what the last turn queued still leaves
	w.publish()
}

// turn is one lap of the worker: at most one wait, one clock read that decides anything, bounded work.
func (w *worker) turn() {
	wait := w.armedWait()
	events := w.eng.Turn(wait)
	w.waker.Disarm()
	w.tick()
	w.blocks.follow(w.now)
	w.zones.follow()
	w.stats.Turns++
	w.busy = len(events) > 0
	w.gate.crowd = len(events) >= crowdMin
	for len(events) > 0 { // handlers queue work, they never wait
		n := min(len(events), lookahead)
		w.dispatch(events[:n])
		events = events[n:]
	}
	w.receiveLanes()
	if w.common.node != nil {
		w.receiveWords()
	}
	w.wake()
	w.expire() // after the answers: an answer beats its own deadline
	w.flushDirty()
	w.makeRoom()
	w.flushLanes()
	w.tending = w.cache != nil && w.cache.Tend()
	if w.errands.Load() != nil || len(w.chores) != 0 {
		w.tending = w.runErrands() || w.tending
	}
	w.admit()
	if w.limiter != nil {
		w.lookAtLimited()
	}
	w.lookAtMisses()
	if w.command.Load() != w.adopted.Load() {
		w.obey()
	}
	w.account()
}

// armedWait returns how long this turn may sleep and arms the waker if it may. What is queued for the worker after the waker was armed
// wakes it; what was queued before is seen here.
func (w *worker) armedWait() time.Duration {
	wait := busyWait
	if !w.busy {
		wait = w.untilTimer()
	}
	w.waker.Arm()
	if w.tending || w.lanesPending() || w.wordsPending() || w.errands.Load() != nil || w.command.Load() != w.adopted.Load() {
		w.waker.Disarm()
		return 0
	}
	return wait
}

// untilTimer returns the time to the next deadline of an exchange or of a TCP client, at most idleWait.
func (w *worker) untilTimer() time.Duration {
	wait := int64(idleWait)
	if at := w.table.NextTimer(w.now); at >= 0 {
		wait = min(wait, at-w.now)
	}
	if at := w.conns.NextTimer(w.now); at >= 0 {
		wait = min(wait, at-w.now)
	}
	if w.rules.rest.next != 0 {
		wait = min(wait, w.rules.rest.next-w.now)
	}
	if w.stats.Shedding != 0 {
		wait = min(wait, int64(admission.MissInterval))
	}
	if w.stats.Overloaded != 0 {
		wait = min(wait, int64(admission.LookInterval))
	}
	return time.Duration(max(wait, 0))
}

// tick reads the clock.
func (w *worker) tick() { w.now = int64(w.clock()) }

// seconds is the clock of the cache: whole seconds, from cacheEpoch on.
func (w *worker) seconds() uint32 { return secondsOf(w.now) }

func secondsOf(now int64) uint32 { return uint32(now/int64(time.Second)) + cacheEpoch }

// dispatch hands at most lookahead events to their handlers. Queries over UDP are parsed first, all of them, and what the cache will have
// to read for them is loaded in one go.
func (w *worker) dispatch(events []ring.Event) {
	known := 0
	if w.gate.byHand {
		w.gate.refuse(events)
	}
	if w.gate.control != nil && (w.gate.crowd || w.stats.Overloaded != 0) {
		w.gate.sample(events)
	}
	for i := range events {
		ev, l := &events[i], &w.ahead[i]
		if ev.Kind != ring.Datagram || ev.Tag&upstreamTag != 0 {
			continue
		}
		w.gate.taken++
		w.parse(ev.Data, l)
		if l.key != nil {
			w.hashes[known] = l.hash
			known++
		}
	}
	if known > 1 && w.cache != nil {
		w.warmed += w.cache.Warm(w.hashes[:known])
	}
	for i := range events {
		w.react(&events[i], &w.ahead[i])
	}
}

// react hands one event to its handler; l is the query in it, if it is one over UDP.
func (w *worker) react(ev *ring.Event, l *lookup) {
	switch ev.Kind {
	case ring.Datagram:
		if ev.Tag&upstreamTag == 0 {
			w.clientDatagram(ev, l)
		} else {
			w.upstreamDatagram(ev)
		}
	case ring.DatagramError:
		if ev.Tag&upstreamTag != 0 {
			w.upstreamError(ev)
		}
	case ring.SendFailed:
		switch {
		case ev.Tag&upstreamTag == 0:
			w.stats.Drops[DropSend]++
		case ring.NoRoom(ev.Errno):
			w.unsent(ev)
		default:
			w.upstreamError(ev)
		}
	case ring.Accepted:
		w.accepted(ev)
	case ring.AcceptFailed:
		w.stats.Streams[StreamAcceptFailed]++
	case ring.StreamData:
		w.streamData(ev)
	case ring.StreamEnd:
		w.streamEnd(ev)
	case ring.StreamSent:
		w.streamSent(ev)
	case ring.StreamClosed:
		w.streamClosed(ev)
	}
}

// clientDatagram handles a query over UDP.
func (w *worker) clientDatagram(ev *ring.Event, l *lookup) {
	if ev.Truncated {
		w.stats.Drops[DropTruncated]++
		return
	}
	from := origin{socket: ev.Handle, path: ev.Path, listener: ev.Tag}
	w.resolve(l, &from)
}

// expire carries out every deadline that has passed.
func (w *worker) expire() {
	for {
		slot, ok := w.table.Expired(w.now)
		if !ok {
			break
		}
		w.deadline(slot)
	}
	for {
		id, ok := w.conns.Expired(w.now)
		if !ok {
			break
		}
		w.stats.Streams[StreamIdle]++
		w.closeStream(id)
	}
	w.rotateSockets()
}

// account brings the figures up to date and publishes them when the worker is about to sleep, or every publishInterval.
func (w *worker) account() {
	if w.hits != 0 { // the one clock read that decides nothing: how long hits took
		ns := int64(w.clock()) - w.now
		w.stats.Latency.add(ns, w.hits)
		w.stats.Hits += w.hits
		w.hits = 0
	}
	if w.busy && w.now-w.publishedAt < int64(publishInterval) {
		return
	}
	w.publishedAt = w.now
	w.publish()
}

// publish copies every figure to where scrapers read it.
func (w *worker) publish() {
	c := w.eng.Counters()
	w.stats.Enters, w.stats.DatagramsIn, w.stats.DatagramsSent = c.Enters, c.Datagrams, c.DatagramsSent
	w.stats.MessagesSent = c.MessagesSent
	w.stats.Rearms, w.stats.BuffersExhausted = c.Rearms, c.BuffersExhausted
	w.stats.InFlight, w.stats.Waiters = uint64(w.table.Len()), uint64(w.table.WaiterLen())
	w.stats.Connections = uint64(w.conns.Len())
	w.stats.Relays = uint64(w.relays.underWay())
	w.stats.CacheEntries, w.stats.CacheBytes, w.stats.TierOut = 0, 0, 0
	if t := w.active.tier; t != nil && t.breaker.State() != tier.In {
		w.stats.TierOut = 1
	}
	if w.cache != nil {
		s := w.cache.Stats()
		w.stats.CacheEntries, w.stats.CacheBytes = uint64(s.Entries), uint64(s.Bytes)
		w.stats.CacheInserts, w.stats.CacheEvictions = s.Inserts, s.Evictions
		w.stats.CacheExpired, w.stats.CacheRefused = s.Expired, s.Refused
	}
	publish(&w.public, &w.stats, statsWords)
	if w.zones.room != nil {
		publish(&w.zones.public, &w.zones.room.stats, zoneStatsWords)
	}
	w.publishRules()
	for _, u := range w.upstreams {
		if u != nil {
			u.stats.InFlight, u.stats.Limit = uint64(u.outstanding), uint64(min(u.limit.Value(), u.most, w.cfg.Slots))
			publish(&u.public, &u.stats, upstreamStatsWords)
		}
	}
	w.measureShares()
	for _, p := range w.poolStates {
		if p != nil {
			p.stats.InFlight = uint64(p.under)
			publish(&p.public, &p.stats, poolStatsWords)
		}
	}
	for _, v := range w.viewStates {
		if v != nil {
			v.stats.InFlight = uint64(v.under)
			publish(&v.public, &v.stats, viewStatsWords)
		}
	}
}

// release gives back everything that the worker has; it may have been furnished in part.
func (w *worker) release() error {
	errs := []error{w.eng.Shutdown()}
	if w.table != nil {
		errs = append(errs, w.table.Close())
	}
	if w.conns != nil {
		errs = append(errs, w.conns.Close())
	}
	if w.cache != nil {
		errs = append(errs, w.cache.Close())
	}
	if w.limiter != nil {
		errs = append(errs, w.limiter.Close())
	}
	if w.failures != nil {
		errs = append(errs, w.failures.Close())
	}
	if w.denials != nil {
		errs = append(errs, w.denials.Close())
	}
	if w.scopes != nil {
		errs = append(errs, w.scopes.Close())
	}
	return errors.Join(append(errs, w.held.close())...)
}

// startDraining stops accepting TCP clients and lets those that are here go as soon as nothing is owed to them.
func (w *worker) startDraining() {
	w.draining = true
	for _, h := range w.acceptors {
		w.eng.Close(h)
	}
	for id := range w.conns.All() {
		w.conns.End(id)
		w.markDirty(id)
	}
}

// drained reports whether a draining worker has nothing left to do.
func (w *worker) drained() bool {
	return w.draining && w.table.Len() == 0 && w.conns.Len() == 0 && w.rules.rest.used == 0 && w.relays.underWay() == 0
}
