package worker

import (
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/subnet"
)

// In a pool whose upstreams are told the networks of clients (RFC 7871), several keys belong to a query: that of its exchange, which says what
// is sent, so that only who would ask the same waits for it; the plain one, under which answers for everybody are cached; and keys of the
// cache for the networks that an answer's scope names. worker/subnet remembers for which questions to look for the last ones.

// tailored is what is special about a query in such a pool, or of a client whose options are passed on.
type tailored struct {
	is      bool   // the key of the exchange has a variant
	passed  bool   // options of the client are sent: nothing is cached
	plain   uint64 // hash of the plain key
	found   uint64 // hash of w.found, which the cache has an answer to
	options int    // bytes of w.client.Options before that
	scopeAt int    // where the scope is in w.client.Options; 0: the client is not told any
}

// forgetTailored makes nothing special of any query: one that the selection does not tailor is not looked at for that.
func (w *worker) forgetTailored() {
	for i := range w.ahead {
		w.ahead[i].tailored = tailored{}
	}
	w.single.tailored = tailored{}
}

// questionHash is the hash of the question alone, without what is sent beside it.
func (l *lookup) questionHash() uint64 {
	if l.tailored.is {
		return l.tailored.plain
	}
	return l.hash
}

// tailor makes the key of a query's exchange, and reports whether the query goes on; else it has been answered.
func (w *worker) tailor(l *lookup, from *origin) bool {
	l.tailored = tailored{plain: l.hash, options: len(w.client.Options)}
	plain := len(l.key)
	spec := &l.pool.spec.Subnet
	if l.subnet != nil {
		spec = l.subnet
	}
	w.asked.marks &^= inflight.Replaced
	switch {
	case spec.Mode != subnet.Strip:
		var sound bool
		if w.asked.network, w.asked.hasNetwork, sound = wire.ParseSubnet(l.query.Options); !sound {
			w.malformedSubnet(from)
			return false
		}
		var own *wire.Subnet
		if w.asked.hasNetwork {
			own = &w.asked.network
			if at := w.echoSubnet(own); spec.Mode != subnet.Override {
				l.tailored.scopeAt = at
			} else {
				w.asked.marks |= inflight.Replaced
			}
		}
		if told, tell := spec.Choose(own, from.path.Addr().Addr()); tell {
			l.key = wire.AppendSubnet(l.key, &told)
		} else {
			l.key = wire.AppendUnsent(l.key)
		}
	case l.pool.tells:
		l.key = wire.AppendUnsent(l.key)
	}
	if (len(w.active.passOptions) != 0 && len(l.query.Options) != 0 || l.edits.Any()) && !w.adjustOptions(l, from) {
		return false
	}
	if len(l.key) != plain {
		l.tailored.is = true
		l.hash = wire.Hash(w.seed, l.key)
	}
	return true
}

// tailorAgain is tailor for a query that was tailored and has then been sent to another pool, which may have other ideas of networks.
func (w *worker) tailorAgain(l *lookup, from *origin) bool {
	l.key = wire.KeyPlain(l.key)
	l.hash = wire.Hash(w.seed, l.key)
	w.client.Options, w.asked.hasNetwork = w.client.Options[:l.tailored.options], false
	return w.tailor(l, from)
}

// malformedSubnet answers a query whose ECS option cannot be read (RFC 7871 §6, §7.2.1).
func (w *worker) malformedSubnet(from *origin) {
	w.stats.Malformed[wire.FaultSubnet]++
	rcode, _ := wire.FaultSubnet.RCode()
	w.replyError(from, rcode, wire.FaultSubnet.EDE())
}

// echoSubnet puts a client's network into its reply (RFC 7871 §7.2.2), for the time being with the scope of everybody, and returns where that is
// in w.client.Options.
func (w *worker) echoSubnet(s *wire.Subnet) (scopeAt int) {
	options := append(w.options[:0], w.client.Options...)
	w.client.Options = wire.AppendSubnetOption(options, s, 0)
	return len(options) + wire.SubnetScopeOffset
}

// audiences is a walk over the keys under which the cache may have an answer to one exchange, in the order of RFC 7871 §7.3.2: for exactly that
// exchange, then for the longest network around the client that there may be one for, at last for everybody.
type audiences struct {
	hash, plain uint64 // of the keys of the exchange and of the question alone
	key         []byte // of the exchange
	network     wire.Subnet
	lengths     subnet.Lengths
	own, over   bool
	alone       bool // key is that of an answer for everybody
}

// audiencesOf begins a walk.
func (w *worker) audiencesOf(hash, plain uint64, key []byte) (a audiences) {
	a = audiences{hash: hash, plain: plain, key: key, own: true, alone: !wire.KeyHasNetwork(key)}
	if s, sent := wire.KeySubnet(key); sent && s.Bits != 0 {
		a.network, a.lengths = s, w.scopes.Lengths(plain, s.Family, s.Bits, w.seconds())
		a.own = a.lengths.Exact
	}
	return a
}

// nextAudience returns the next key, which is valid until the next call, with its hash and the scope that clients are told of an answer under it.
func (w *worker) nextAudience(a *audiences) (hash uint64, key []byte, scope uint8, more bool) {
	switch {
	case a.own:
		a.own, a.over = false, a.alone
		return a.hash, a.key, beyond(&a.network), true
	case a.over:
		return 0, nil, 0, false
	}
	n := a.lengths.Next()
	if n == 0 {
		a.over = true
		hash, key = w.everybody(a.key, a.plain)
		return hash, key, 0, true
	}
	a.network.Shorten(n)
	hash, key = w.audienceOf(a.key, &a.network)
	return hash, key, n, true
}

// everybody returns the key of an answer that is good for all who send what that of the exchange says beside a network; plain is the hash of the plain key.
func (w *worker) everybody(exchange []byte, plain uint64) (hash uint64, key []byte) {
	if len(wire.KeyOptions(exchange)) == 0 {
		return plain, wire.KeyPlain(exchange)
	}
	key = wire.AppendCommon(w.scoped[:0], exchange)
	return wire.Hash(w.seed, key), key
}

// audienceOf is everybody for those of a network.
func (w *worker) audienceOf(exchange []byte, s *wire.Subnet) (hash uint64, key []byte) {
	key = wire.AppendScope(append(w.scoped[:0], wire.KeyPlain(exchange)...), s)
	if options := wire.KeyOptions(exchange); len(options) > 0 {
		key = wire.AppendOptions(key, options)
	}
	return wire.Hash(w.seed, key), key
}

// getTailored is get for a query whose key has a variant.
func (w *worker) getTailored(l *lookup) (age uint32, state cache.State) {
	age, state, l.tailored.found = w.find(l.hash, l.tailored.plain, l.key, &w.answer)
	w.tellScope(l)
	return age, state
}

// tellScope puts w.scope into the reply if it belongs there.
func (w *worker) tellScope(l *lookup) {
	if at := l.tailored.scopeAt; at != 0 {
		w.client.Options[at] = w.scope
	}
}

// lookUp is cache.Get for the key of an exchange. Where that has a variant it looks at all that may answer it; w.scope is what clients are to be
// told.
func (w *worker) lookUp(hash uint64, key []byte, a *wire.Answer) (age uint32, state cache.State) {
	plain := wire.KeyPlain(key)
	if len(plain) == len(key) {
		w.scope = 0
		return w.cache.Get(hash, key, w.seconds(), a)
	}
	age, state, _ = w.find(hash, wire.Hash(w.seed, plain), key, a)
	return age, state
}

// find looks for an answer to the exchange of key. What is fresh goes before what is not. plain is the hash of the plain key, found that of the
// key that has the answer, which is then in w.found; w.scope is what clients are to be told.
func (w *worker) find(hash, plain uint64, key []byte, a *wire.Answer) (age uint32, state cache.State, found uint64) {
	w.scope = 0
	walk := w.audiencesOf(hash, plain, key)
	for state != cache.Fresh {
		var other wire.Answer
		at, try, scope, more := w.nextAudience(&walk)
		if !more {
			break
		}
		if older, st := w.cache.Get(at, try, w.seconds(), &other); st == cache.Fresh || st == cache.Expired && state == cache.Miss {
			*a, age, state = other, older, st
			found, w.found, w.scope = at, append(w.found[:0], try...), scope
		}
	}
	return age, state, found
}

// fetchTailored is fetchShared for a query whose key has a variant.
func (w *worker) fetchTailored(l *lookup) (age uint32, ok bool) {
	walk := w.audiencesOf(l.hash, l.tailored.plain, l.key)
	for {
		hash, key, scope, more := w.nextAudience(&walk)
		if !more {
			return 0, false
		}
		if age, ok = w.fetchShared(hash, key, 0); ok {
			w.scope = scope
			w.tellScope(l)
			return age, true
		}
	}
}

// beyond is the scope that is told of an answer that is good for no other network than the one that was sent, which was too short for a
// better one: one bit more (RFC 7871 §7.2.1). 0 where no network was sent.
func beyond(s *wire.Subnet) uint8 {
	if s.Bits == 0 {
		return 0
	}
	return min(s.Bits+1, wire.FamilyBits(s.Family))
}

// keep puts w.answer into the cache, if that is wanted, for those whom it is good for. w.scope is what clients are to be told.
// It returns whether workers that follow the slot can find the answer: under the slot's own key, as they do not know its scope.
func (w *worker) keep(s *inflight.Slot, p *pool, wanted bool) (result shared.Result) {
	hash, key := s.Hash, s.KeyBytes()
	kept := wanted && w.answer.TTL != 0 && w.keeps(p, key)
	w.scope = 0
	switch {
	case p.tells && !wire.KeyHasNetwork(key): // asked before a reload, or not for a client: for whom it is good nobody has said
		key = wire.KeyWithoutSubnet(&w.bare, key)
		hash = wire.Hash(w.seed, key)
	case len(wire.KeyVariant(key)) != 0:
		hash, key, kept = w.audience(hash, key, kept)
	}
	if !kept {
		return shared.TooLarge
	}
	w.cache.Put(hash, key, &w.answer, w.answer.TTL, w.seconds())
	result = w.share(hash, key)
	if s.Owned && hash != s.Hash {
		result = w.share(s.Hash, s.KeyBytes())
	}
	return result
}

// takeOver sees to it that an answer of another worker, which the cache now has under a slot's own key, is found there. w.scope is what clients are to
// be told.
func (w *worker) takeOver(s *inflight.Slot) {
	w.scope = 0
	if told, sent := wire.KeySubnet(s.KeyBytes()); sent {
		w.scope = beyond(&told)
	}
	w.lookFor(s.KeyBytes())
}

// lookFor sees to it that an answer is found that has got into the cache under key in another way than by an exchange of this worker.
func (w *worker) lookFor(key []byte) {
	s, length, ok := wire.KeyNetwork(key)
	if ok && s.Bits != 0 {
		w.scopes.Keep(wire.Hash(w.seed, wire.KeyPlain(key)), s.Family, length, s.Bits, w.seconds())
	}
}

// audience returns the key of the cache for w.answer to the exchange of key, and whether to keep it there (RFC 7871 §7.3.1).
func (w *worker) audience(hash uint64, key []byte, kept bool) (uint64, []byte, bool) {
	s, sent := wire.KeySubnet(key)
	if !sent || s.Bits == 0 {
		return hash, key, kept // for those alone of whom nothing is told: RFC 7871 §7.3.1 on SOURCE PREFIX-LENGTH 0
	}
	plainHash := wire.Hash(w.seed, wire.KeyPlain(key))
	length := uint8(0)
	switch told := w.answer.Told; {
	case told == nil || told.Scope > s.Bits:
		w.scope = beyond(&s)
	case told.Scope == 0:
		hash, key = w.everybody(key, plainHash)
		return hash, key, kept
	default:
		length, w.scope = told.Scope, told.Scope
	}
	if !kept {
		return hash, key, false
	}
	n, ok := w.scopes.Keep(plainHash, s.Family, length, s.Bits, w.seconds())
	if !ok {
		w.stats.SubnetsUnkept++
		return hash, key, false
	}
	w.stats.SubnetsKept++
	if n == 0 {
		return hash, key, true
	}
	s.Shorten(n)
	hash, key = w.audienceOf(key, &s)
	return hash, key, true
}

// askable makes the key of an exchange out of l's, which is one of the cache, and reports whether there is one: an answer for everybody comes
// from asking for somebody, and networks are told in some pools only.
func (w *worker) askable(l *lookup) bool {
	tells, plain := l.pool.tells, !wire.KeyHasNetwork(l.key)
	if tells != plain && wire.AskForScope(l.key) {
		l.hash = wire.Hash(w.seed, l.key)
	}
	return tells != plain
}

// requestKey is the key that a query of a slot to u is built from. That a client opts out is told even those who want no networks.
func (w *worker) requestKey(s *inflight.Slot, u *upstream) []byte {
	key := w.questionOf(s)
	if s.Refuser != 0 || w.now < u.subnetRest {
		if told, sent := wire.KeySubnet(key); sent && told.Bits != 0 {
			return wire.KeyWithoutSubnet(&w.bare, key)
		}
	}
	return key
}

// refusedSubnet deals with an upstream that does not want to hear of clients' networks, and says REFUSED, or FORMERR as some do to options that
// they do not know: it is asked again without (RFC 7871 §7.1.1, §7.1.3), within the budget for retries. Where that helped, it is not told
// of any for subnetRest. It reports whether u is asked again; if not, w.answer stands, and its scope counts only if u was told.
func (w *worker) refusedSubnet(slot uint32, s *inflight.Slot, u *upstream, p *pool) bool {
	refused := w.answer.RCode == wire.RCodeRefused || w.answer.RCode == wire.RCodeFormErr
	if s.Refuser != 0 || u.subnetRest != 0 && w.now < u.subnetRest+int64(QueryTimeoutMax) { // until then it may answer what it was asked without
		w.answer.Told.Scope = wire.ScopeUnknown
	}
	self := uint8(u.index) + 1 // upstreamsKept is far below 256
	if s.Refuser == self && !refused {
		u.subnetRest = w.now + int64(subnetRest)
	}
	if !refused || s.Refuser != 0 || w.now < u.subnetRest || s.Attempts >= attemptsMax {
		return false
	}
	if told, sent := wire.KeySubnet(s.KeyBytes()); !sent || told.Bits == 0 {
		return false
	}
	if !p.retry.Spend(w.now, p.spec.RetryPercent, balance.RetryFloor) {
		p.stats.RetriesDenied++
		return false
	}
	u.stats.SubnetRefused++
	s.Useless[u.index>>6] &^= 1 << (u.index & 63) // it was the question's fault
	s.Refuser = self
	s.Attempts++
	if w.sendTo(slot, s, u) < 0 {
		p.retry.Return()
		return false
	}
	w.schedule(slot, s)
	return true
}
