package worker

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
)

// rules is what a worker has to do with the policy in force.
type rules struct {
	policy    *policy.Policy // nil: there are no rules
	number    uint8          // of the policy, modulo 256: queries do not live through so many
	tells     bool           // some of its rules look at clients that are told answers
	state     *policy.State
	hits      []*atomic.Uint64 // the group's counters, by rule
	query     policy.Query     // in hand
	result    policy.Verdict   // on it
	own       policy.Verdict   // on our own answer to it
	response  policy.Query     // an upstream's answer, which may come while a query is in hand
	responded policy.Verdict   // on that
	told      policy.Verdict   // on an answer that one client is told
	changed   wire.Answer      // what that client is told instead
	said      wire.Answer      // that answer
	name      [wire.KeyBytesMax]byte
	shadow    lookup // what is asked of a pool whose answers are ignored
	rest      rest
}

// compileRules makes the policy of a snapshot; nil if it has no rules.
func (s *Snapshot) compileRules(workers int) (*policy.Policy, error) {
	if len(s.Rules) == 0 && len(s.Views) == 0 {
		return nil, nil
	}
	for i := range s.Views {
		if pool := s.Views[i].Pool; pool >= len(s.Pools) {
			return nil, fmt.Errorf("view %q: no pool %d", s.Views[i].Name, pool)
		}
	}
	for i := range s.Rules {
		if pool := s.Rules[i].Pool(); pool >= len(s.Pools) {
			return nil, fmt.Errorf("rule %q: no pool %d", s.Rules[i].Name, pool)
		}
	}
	return policy.Compile(s.Rules, s.policyViews(), max(workers, 1))
}

// setRules takes over a policy. Its token buckets begin full; the counters of rules that stay go on, as they are the group's.
func (w *worker) setRules(c *command) {
	r := &w.rules
	if r.policy == c.policy {
		return
	}
	w.publishRules()
	r.policy, r.hits, r.state = c.policy, c.ruleHits, nil
	r.number++
	if r.tells = c.policy != nil && c.policy.Has(policy.ChainTold); c.policy != nil {
		r.state = c.policy.NewState(w.random, w.wall)
		w.journal.Store(&journal{policy: c.policy, lines: r.state.Log})
	}
}

// publishRules adds what rules have matched since the last call to the group's counters.
func (w *worker) publishRules() {
	if w.rules.state != nil {
		w.rules.state.Publish(w.rules.hits)
	}
}

// decide lets the rules for queries look at the one in hand, and reports whether that was the end of it.
func (w *worker) decide(l *lookup, from *origin) bool {
	r := &w.rules
	w.assign(l, from)
	from.countView()
	w.present(l, from)
	r.policy.Run(policy.ChainQuery, &r.query, r.state, &r.result)
	w.overlook(l, from.view, &r.result)
	w.asked.tags = r.query.Tags
	if r.result.Wait != 0 && !from.tcp && w.postpone(l, from) {
		return true
	}
	return w.execute(l, from, &r.result)
}

// overlook adds to the verdict of the rules what the client's view, if it is in one, says: less than they do.
func (w *worker) overlook(l *lookup, of *view, v *policy.Verdict) {
	if of == nil {
		return
	}
	v.SkipCache = v.SkipCache || of.spec.NoCache
	if v.Pool < 0 && (l.pool == nil || l.pool == w.active.pools[0]) {
		v.Pool = int16(of.spec.Pool)
	}
}

// present makes the query in hand what rules look at.
func (w *worker) present(l *lookup, from *origin) {
	q := &w.rules.query
	q.Reset()
	q.Flags, q.HasOPT, q.DO, q.Version, q.Options = l.query.Flags, l.query.HasOPT, l.query.DO, l.query.Version, l.query.Options
	q.Additionals, q.Bytes = int(l.query.Additionals), len(l.message)
	switch {
	case l.key != nil:
		q.Name, q.Type, q.Class = l.name(), l.query.Type, l.query.Class
	case len(l.query.Question) != 0:
		q.Name, q.Type, q.Class = l.query.Key(&w.rules.name)[:l.query.NameLen], l.query.Type, l.query.Class
	}
	q.Source, q.TCP, q.Now, q.Pools = from.path.Addr(), from.tcp, w.now, w
	if w.rules.policy != nil { // else a query has rested while a reload took them away
		q.View = w.rules.policy.ViewOf(q.Source.Addr())
	}
	if int(from.listener) < len(w.active.listen) {
		q.Target = w.active.listen[from.listener]
	}
	if from.path.HasLocal {
		q.Target = netip.AddrPortFrom(netip.AddrFrom16(from.path.Local).Unmap(), q.Target.Port())
	}
}

// Available reports whether an upstream of a pool is worth asking, by its number in the snapshot: what policy.Pools asks for.
func (w *worker) Available(pool int) bool { return w.healthy(w.active.pools[pool]) }

// Outstanding returns how many exchanges of this worker with a pool are under way.
func (w *worker) Outstanding(pool int) int { return w.active.pools[pool].under }

// execute carries out what the rules have decided, and reports whether that was the end of the query.
func (w *worker) execute(l *lookup, from *origin, v *policy.Verdict) bool {
	if v.Extended != wire.EDENone {
		w.client.Extended = v.Extended
	}
	if v.Limited {
		w.client.TTLHigh = max(v.TTLHigh, 1)
	}
	if v.Tee >= 0 && l.key != nil {
		w.tee(l, w.active.pools[v.Tee])
	}
	switch {
	case v.Outcome == policy.Dropped:
		w.dropByRule(from)
		return true
	case v.Outcome != policy.Pass && l.key != nil && w.judgedUnsaid(l.later, l.key, l.hash, from): // a rule for misses: policies come first
		return true
	case v.Outcome == policy.Truncated:
		w.rules.said = wire.Answer{Flags: wire.FlagTC} // its extended error is the client's already
		w.ownReply(from, &w.rules.said)
		return true
	case v.Outcome == policy.Answered && v.Answer == nil:
		w.ownError(from, v.RCode, v.Extended)
		return true
	case v.Outcome == policy.Answered && l.key != nil: // else it has a fault, which is its answer
		w.ownReply(from, v.Answer)
		return true
	case l.key == nil:
		if v.Pool >= 0 {
			l.pool = w.active.pools[v.Pool]
		}
		return false
	}
	w.redirect(l, v)
	return false
}

// redirect changes where, and with which flags, a query goes on.
func (w *worker) redirect(l *lookup, v *policy.Verdict) {
	l.passCache = l.passCache || v.SkipCache
	if v.Subnet != nil {
		l.subnet = v.Subnet
	}
	l.edits.Append(&v.Edits)
	if v.Pool < 0 && !v.NoRecurse && !v.NoVerify {
		return
	}
	if v.Pool >= 0 {
		l.pool = w.active.pools[v.Pool]
		wire.MoveKey(l.key, l.pool.tag)
	}
	wire.ChangeKey(l.key, v.NoRecurse, v.NoVerify)
	l.hash = wire.Hash(w.seed, l.key)
}

// missRules reports whether there are rules for misses.
func (w *worker) missRules() bool {
	return w.rules.policy != nil && w.rules.policy.Has(policy.ChainMiss)
}

// decideMiss lets the rules for misses look at the query in hand, and reports whether that was the end of it. Where they send it to another pool,
// or change it, the cache is asked again; age and state are then of that answer, which is in w.answer.
func (w *worker) decideMiss(l *lookup, from *origin, age *uint32, state *cache.State) bool {
	r := &w.rules
	r.policy.Run(policy.ChainMiss, &r.query, r.state, &r.result)
	w.asked.tags = r.query.Tags
	before := l.hash
	if w.execute(l, from, &r.result) {
		return true
	}
	if l.hash == before && r.result.Subnet == nil && !r.result.Edits.Any() {
		return false
	}
	if w.active.tailors && !w.tailorAgain(l, from) {
		return true
	}
	*state = cache.Miss
	if !w.cacheable(l) {
		return false
	}
	if *age, *state = w.get(l); *state != cache.Fresh {
		return false
	}
	w.hits++
	w.give(l, *age, from)
	return true
}

// decideAnswer lets the rules for responses look at w.answer, which they may change, and reports whether it is to be kept and whether it is to be
// given to the clients of the slot.
func (w *worker) decideAnswer(s *inflight.Slot) (keep, give bool) {
	r, key := &w.rules, s.KeyBytes()
	q := &r.response
	q.Reset()
	q.Name = wire.KeyName(key)
	q.Type, q.Class = wire.KeyType(key), wire.KeyClass(key)
	q.Flags, q.DO = wire.KeyHeader(key), wire.KeyFlags(key)&wire.KeyDO != 0
	q.Answer, q.Now, q.Pools, q.Tags = &w.answer, w.now, w, s.Tags
	v := &r.responded
	r.policy.Run(policy.ChainResponse, q, r.state, v)
	switch v.Outcome {
	case policy.Dropped:
		return false, false
	case policy.Truncated:
		w.answer = wire.Answer{Flags: wire.FlagTC}
	case policy.Answered:
		if v.Answer == nil {
			w.answer = wire.Answer{RCode: v.RCode, Negative: true}
		} else {
			w.answer = *v.Answer // its TTLs are not changed below: they are the policy's
			return w.answer.TTL != 0 && !v.SkipCache, true
		}
	}
	if v.Edits.Any() {
		w.stripAnswer(&v.Edits)
	}
	if v.Extended != wire.EDENone {
		w.answer.Extended = v.Extended
	}
	if v.Limited {
		clampTTLs(&w.answer, v.TTLLow, v.TTLHigh)
	}
	return w.answer.TTL != 0 && !v.SkipCache, true
}

// decideTold lets the rules for responses that look at clients see an answer to the question of key that the client of w.client is to be told, and returns what it is
// told; nil: it was told something else, or nothing. What is kept, and what others are told, stays what it is.
func (w *worker) decideTold(a *wire.Answer, key []byte, to *origin) *wire.Answer {
	r, c := &w.rules, &w.client
	q := &r.response
	q.Reset()
	q.Name = wire.KeyName(key)
	q.Type, q.Class = wire.KeyType(key), wire.KeyClass(key)
	q.Flags, q.HasOPT, q.DO = wire.KeyHeader(key), c.HasOPT, c.DO
	q.Source, q.TCP, q.Tags = to.path.Addr(), to.tcp, w.asked.tags
	if to.view != nil {
		q.View = to.view.number
	}
	q.Answer, q.Now, q.Pools = a, w.now, w
	v := &r.told
	r.policy.Run(policy.ChainTold, q, r.state, v)
	q.Answer = nil
	if v.Limited {
		high := max(v.TTLHigh, 1)
		if c.TTLHigh != 0 {
			high = min(high, c.TTLHigh)
		}
		c.TTLHigh = high
	}
	switch {
	case v.Outcome == policy.Dropped:
		w.dropByRule(to)
		return nil
	case v.Outcome == policy.Truncated:
		r.said = wire.Answer{Flags: wire.FlagTC}
		if v.Extended != wire.EDENone {
			r.said.Extended = v.Extended
		}
		w.reply(to, &r.said, 0)
		return nil
	case v.Outcome == policy.Answered && v.Answer == nil:
		w.replyError(to, v.RCode, v.Extended)
		return nil
	case v.Outcome == policy.Answered:
		w.reply(to, v.Answer, 0)
		return nil
	case v.Extended != wire.EDENone:
		r.changed = *a
		r.changed.Extended = v.Extended
		return &r.changed
	}
	return a
}

// ownReply gives the query in hand an answer of our own, if the rules for those let it.
func (w *worker) ownReply(to *origin, a *wire.Answer) {
	if w.rules.policy == nil || !w.rules.policy.Has(policy.ChainOwn) {
		w.reply(to, a, 0)
		return
	}
	if w.ownDecided(to, a) {
		return
	}
	if e := w.rules.own.Extended; e != wire.EDENone {
		changed := *a
		changed.Extended = e
		a = &changed
	}
	w.reply(to, a, 0)
}

// ownError is ownReply for an answer without records.
func (w *worker) ownError(to *origin, rcode, ede uint16) {
	if w.rules.policy != nil && w.rules.policy.Has(policy.ChainOwn) {
		w.rules.said = wire.Answer{RCode: rcode}
		if w.ownDecided(to, &w.rules.said) {
			return
		}
		if e := w.rules.own.Extended; e != wire.EDENone {
			ede = e
		}
	}
	w.replyError(to, rcode, ede)
}

// ownDecided lets the rules for our own answers look at one, and reports whether they put something else in its place.
func (w *worker) ownDecided(to *origin, a *wire.Answer) bool {
	r := &w.rules
	v := &r.own
	r.query.Answer = a
	r.policy.Run(policy.ChainOwn, &r.query, r.state, v)
	r.query.Answer = nil
	switch {
	case v.Outcome == policy.Dropped:
		w.dropByRule(to)
	case v.Outcome == policy.Truncated:
		r.said = wire.Answer{Flags: wire.FlagTC}
		if v.Extended != wire.EDENone {
			r.said.Extended = v.Extended
		}
		w.reply(to, &r.said, 0)
	case v.Outcome == policy.Answered && v.Answer != nil:
		w.reply(to, v.Answer, 0)
	case v.Outcome == policy.Answered:
		w.replyError(to, v.RCode, v.Extended)
	default:
		return false
	}
	return true
}

// dropByRule leaves a query without an answer. Over TCP its client would wait for it: the connection is closed.
func (w *worker) dropByRule(from *origin) {
	w.stats.Drops[DropRule]++
	if from.tcp {
		w.closeStream(from.conn)
	}
}

// tee asks a pool what a client has asked, and ignores the answer. It takes no more than half of the slots, and asks once for what is under way.
func (w *worker) tee(l *lookup, to *pool) {
	t := &w.rules.shadow
	t.query.NameLen, t.pool, t.passCache = l.query.NameLen, to, true
	t.key = append(t.space[:0], wire.KeyPlain(l.key)...) // the network of the client is that pool's business alone
	wire.MoveKey(t.key, to.tag)
	t.hash = wire.Hash(w.seed, t.key)
	if _, under := w.table.Find(t.hash, t.key); under {
		return
	}
	if w.draining || 2*w.table.Len() >= w.cfg.Slots {
		w.stats.TeesDenied++
		return
	}
	slot, ok := w.table.Open(t.hash, t.key)
	if !ok {
		w.stats.TeesDenied++
		return
	}
	w.stats.Tees++
	w.start(slot, t)
}
