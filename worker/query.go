package worker

import (
	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/stream"
	"secure-dns-proxy/worker/subnet"
)

// origin is where the query in hand came from.
type origin struct {
	socket ring.Handle   // UDP
	path   *ring.Path    // the client's address; UDP: and ours. Valid for this turn only
	conn   stream.ConnID // TCP
	tcp    bool

	listener uint32 // number of the listener; not of an origin that was restored from a waiter
	view     *view  // that the client is in; nil: none
}

// lookup is a query that has been parsed and has yet to be answered. Its views last as long as the message.
type lookup struct {
	query wire.Query
	fault wire.Fault
	key   []byte   // view of space; nil: nothing to look up
	pool  *pool    // that the name belongs to, if there is a key; else nil, or the one that rules or a view say
	later scrutiny // by the response policy zones
	hash  uint64

	tailored tailored // of queries in the selection that tailors

	space [wire.KeyBytesMax]byte

	message   []byte // all of it
	passCache bool   // a rule wants the answer neither from the cache nor in it

	subnet *subnet.Spec // what rules want told of the client's network; nil: what the pool says
	edits  policy.Edits // what they change of the options that are sent
}

// name is the folded name that was asked for, what wire.KeyName finds in the key.
func (l *lookup) name() []byte { return l.key[:l.query.NameLen] }

// parse reads a message and makes the key of its question.
func (w *worker) parse(msg []byte, l *lookup) {
	l.key, l.later = nil, scrutinyNone
	l.message, l.passCache, l.subnet = msg, false, nil
	l.edits.Reset()
	if l.fault = wire.ParseQuery(msg, &l.query); l.fault == wire.FaultNone && (l.query.Class == wire.ClassINET || w.active.requests.Classes == Forwarded) {
		l.key = l.query.Key(&l.space)
		l.pool = w.poolFor(l.name())
		wire.SetKeyPool(l.key, l.pool.tag)
		l.hash = wire.Hash(w.seed, l.key)
	} else {
		l.pool = nil
	}
}

// handle takes one query from bytes to a queued reply, to a place among the waiters of an exchange, or to a counted drop.
func (w *worker) handle(msg []byte, from *origin) {
	w.parse(msg, &w.single)
	w.resolve(&w.single, from)
}

// resolve is the second half of handle.
func (w *worker) resolve(l *lookup, from *origin) {
	if l.fault == wire.FaultShort || l.fault == wire.FaultResponse {
		w.dropMessage(l.fault, from)
		return
	}
	w.asked = asked{}
	if w.active.access != nil && !w.mayAsk(from) {
		w.prohibit(l, from)
		return
	}
	limit := wire.MessageBytesMax
	if from.tcp {
		w.stats.QueriesTCP++
	} else {
		w.stats.QueriesUDP++
		limit = l.query.ReplyLimit(w.cfg.UDPSizeMax)
	}
	w.client = l.query.Client(limit)
	if len(l.query.Options) != 0 {
		w.heed(l, from)
	}
	if w.rules.policy != nil && w.decide(l, from) {
		return
	}
	if w.admits(l, from) {
		w.proceed(l, from)
	}
}

// cacheable reports whether answers to a query may come from the cache, and be kept in it.
func (w *worker) cacheable(l *lookup) bool {
	return w.cache != nil && !l.pool.spec.NoCache && !l.passCache && !l.tailored.passed
}

// admits reports whether a query that no rule has ended may be looked up now; else it has been answered, or has to wait.
func (w *worker) admits(l *lookup, from *origin) bool {
	if w.blocks.census != nil {
		w.countQuery(l, from)
	}
	if w.blocks.table.HasSources() && w.turnAway(from) {
		return false
	}
	if l.fault != wire.FaultNone {
		w.faulty(l, from)
		return false
	}
	if w.limiter != nil && w.overLimit(from) {
		return false
	}
	if l.key == nil {
		w.otherClass(l, from)
		return false
	}
	return w.active.asking == nil || !w.inspectQuery(l, from)
}

// proceed looks a query up.
func (w *worker) proceed(l *lookup, from *origin) {
	if w.active.tailors && !w.tailor(l, from) {
		return
	}
	if w.zones.set != nil && w.governed(l, from) {
		return
	}
	var age uint32
	state := cache.Miss
	if w.cacheable(l) {
		if age, state = w.get(l); state == cache.Fresh {
			w.hits++
			w.give(l, age, from)
			if w.active.prefetchPercent != 0 && w.nearEnd(&w.answer, age) {
				w.prefetch(l, age)
			}
			return
		}
	}
	if w.missRules() && w.decideMiss(l, from, &age, &state) || w.locally(l, from) {
		return
	}
	if w.cacheable(l) && w.known(l, from, age, state == cache.Expired) { // anew: a rule for misses may have changed that
		return
	}
	w.miss(l, from)
}

// known answers a query that this worker has no fresh answer to from what else is known of its question, and reports whether it did. expired: w.answer is of
// that age and past its TTL.
func (w *worker) known(l *lookup, from *origin, age uint32, expired bool) bool {
	return w.fromShared(l, from) || w.withoutAsking(l, from, age, expired) || w.active.nxdomainCut && w.below(l, from)
}

// faulty answers a query that cannot be looked up.
func (w *worker) faulty(l *lookup, from *origin) {
	if w.limiter != nil && w.overLimit(from) {
		return
	}
	if l.query.NoQuestion && w.asked.cookie.Stamp != 0 { // RFC 7873 §5.4: it asks for a cookie
		w.replyError(from, wire.RCodeNoError, wire.EDENone)
		return
	}
	if kind, ok := kindOf(&l.query, l.fault); ok {
		w.unusual(l, kind, from)
		return
	}
	w.stats.Malformed[l.fault]++
	rcode, _ := l.fault.RCode()
	w.replyError(from, rcode, l.fault.EDE())
}

// get looks for an answer to l in the cache and fills w.answer.
func (w *worker) get(l *lookup) (age uint32, state cache.State) {
	if l.tailored.is {
		return w.getTailored(l)
	}
	return w.cache.Get(l.hash, l.key, w.seconds(), &w.answer)
}

// locally answers a query whose answer is known without asking, and reports whether it did. It comes after the cache, where no such answer is,
// so that hits need not be looked up twice; what was cached before a reload stays until its TTL.
func (w *worker) locally(l *lookup, from *origin) bool {
	if l.query.Type == BeaconType && w.returned(l, from) {
		return true
	}
	if l.query.Class != wire.ClassINET {
		return w.describe(l, from)
	}
	a := w.active.local.Answer(l.name(), l.query.Type, l.pool != w.active.pools[0])
	if a == nil {
		return false
	}
	if w.judgedUnsaid(l.later, l.key, l.hash, from) {
		return true
	}
	w.stats.Local++
	w.ownReply(from, a)
	return true
}

// withoutAsking answers a query that the cache has no fresh answer to, if it is known that asking will not help: from an answer past its
// TTL, which w.answer is if expired is true, where the pool allows that, else with a failure that is remembered. It reports whether it did.
func (w *worker) withoutAsking(l *lookup, from *origin, age uint32, expired bool) bool {
	rcode, held := w.failures.Held(l.hash, w.now)
	if expired && l.pool.spec.WhenDown == Stale && (held || !w.healthy(l.pool) || w.relieved(l)) &&
		w.allowStale(&w.answer, age, l.pool, l.name()) {
		w.give(l, 0, from)
		return true
	}
	if held && w.judgedUnsaid(l.later, l.key, l.hash, from) {
		return true
	}
	if held {
		w.stats.HeldFailures++
		w.replyError(from, rcode, wire.EDECachedError)
	}
	return held
}

// give replies with w.answer, which the cache has held for age seconds, or with what response policies make of it.
func (w *worker) give(l *lookup, age uint32, from *origin) {
	if from.view != nil {
		from.view.stats.Hits++
	}
	w.tellClient(&w.answer, age, l.later, l.key, l.hash, from)
}

// tellClient gives the client of w.client, who has asked the question of key, an answer of an upstream that was learned age seconds ago, or what rules for responses
// that look at clients, and then response policies, make of it.
func (w *worker) tellClient(a *wire.Answer, age uint32, later scrutiny, key []byte, hash uint64, to *origin) {
	if w.rules.tells {
		if a = w.decideTold(a, key, to); a == nil {
			return
		}
	}
	if later == scrutinyNone || !w.judged(a, age, later, key, hash, to) {
		w.reply(to, a, age)
	}
}

// dropMessage counts a message that must not be answered. Over TCP it ends the connection: its sender is no DNS client.
func (w *worker) dropMessage(fault wire.Fault, from *origin) {
	if fault == wire.FaultShort {
		w.stats.Drops[DropShort]++
	} else {
		w.stats.Drops[DropResponse]++
	}
	if from.tcp {
		w.stats.Streams[StreamBroken]++
		w.closeStream(from.conn)
	}
}

// miss joins the exchange for the same question, or opens one.
func (w *worker) miss(l *lookup, from *origin) {
	if w.blocks.census != nil {
		w.blocks.census.Miss(admission.SourceOf(from.path), l.name(), l.questionHash())
	}
	if w.blocks.table.HasNames() && w.turnAwayName(l, from) {
		return
	}
	if slot, ok := w.table.Find(l.hash, l.key); ok {
		if !w.wait(slot, l.later, from) {
			w.shed(l, from, wire.ReasonFull)
			return
		}
		w.stats.Coalesced++
		return
	}
	if w.draining {
		w.stats.Drops[DropDraining]++
		return
	}
	if from.full() {
		w.shed(l, from, wire.ReasonQuota)
		return
	}
	if !w.admitMiss(l, from) {
		return
	}
	slot, ok := w.table.Open(l.hash, l.key)
	if !ok {
		w.shedding.lacked++
		w.shed(l, from, wire.ReasonFull)
		return
	}
	if !w.wait(slot, l.later, from) {
		w.table.Release(slot)
		w.shed(l, from, wire.ReasonFull)
		return
	}
	w.charge(slot, from)
	if w.rules.policy != nil {
		w.table.At(slot).ClientTags = w.rules.query.Tags
	}
	w.start(slot, l)
}

// start begins the exchange of a slot that was opened for l, unless another worker's is under way.
func (w *worker) start(slot uint32, l *lookup) {
	s := w.table.At(slot)
	s.Started, s.Deadline = w.now, w.now+w.active.queryTimeout
	s.Pool, s.Passing = l.pool.tag, 0
	if l.passCache {
		s.Passing |= inflight.PassesCache
	}
	if l.tailored.passed {
		s.Passing |= inflight.PassesOptions
	}
	if l.pool.spec.Policy == balance.Hash {
		s.Name = balance.NameHash(l.name())
	}
	if w.active.inspect != nil && s.WaiterCount != 0 && w.inspect(slot, s) { // what nobody waits for was shown when somebody did
		return
	}
	w.pursue(slot, s)
}

// pursue is start for a question that may be asked.
func (w *worker) pursue(slot uint32, s *inflight.Slot) {
	p := w.poolOf(s)
	if w.active.dns64 != nil && w.reverse(slot, s) {
		return
	}
	if w.join(slot, s, p) {
		return
	}
	if s.WaiterCount != 0 {
		w.stats.Misses++
	}
	if w.active.tier != nil && s.WaiterCount != 0 && w.askTier(slot, s) { // a refresh is to be fresher than what others have
		return
	}
	w.exchange(slot)
}

// wait adds the query in hand to the waiters of a slot.
func (w *worker) wait(slot uint32, later scrutiny, from *origin) bool {
	c := &w.client
	waiter := inflight.Waiter{
		ID: c.ID, Flags: c.Flags, HasOPT: c.HasOPT, DO: c.DO, Limit: uint16(c.Limit), At: w.now, Later: later,
		Cookie: w.asked.cookie, Marks: w.asked.marks, HasSubnet: w.asked.hasNetwork, Subnet: w.asked.network,
		Extended: c.Extended, TTLHigh: c.TTLHigh, Tags: w.asked.tags, Policy: w.rules.number,
	}
	if from.tcp {
		waiter.TCP, waiter.Conn = true, uint32(from.conn)
	} else {
		waiter.Socket, waiter.Path = from.socket, *from.path
	}
	wire.CaseBits(c.Question[:len(c.Question)-4], &waiter.Case)
	if !w.table.AddWaiter(slot, &waiter) {
		return false
	}
	if from.tcp {
		w.conns.Begin(from.conn)
	}
	return true
}
