package worker

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/rpz"
)

// zones is what a worker has to do with response policy zones. Policies see a query once before it is looked up anywhere, and its answer each time
// that a client is given it, from the cache too: what is cached is what upstreams said.
type zones struct {
	set  *rpz.Set // of this turn; nil: there are none
	next atomic.Pointer[rpz.Set]
	room *zonesRoom // made with the first set

	journal atomic.Pointer[rpz.Journal] // room's, for its reader
	public  published[ZoneStats]
}

// zonesRoom is the working memory.
type zonesRoom struct {
	scratch rpz.Scratch
	out     wire.Answer
	unsaid  wire.Answer // no answer at all
	stats   ZoneStats
	journal rpz.Journal

	// The question that a CNAME of a policy leads to, and the answer to the one that it was made for.
	target   lookup
	question [wire.QuestionBytesMax]byte
	alias    wire.Answer
	records  [wire.MessageBytesMax]byte
	ttls     [wire.RecordsMax]uint16
}

// scrutiny says which policies are still to see a query's answer.
type scrutiny = uint8

const (
	scrutinyNone  scrutiny = iota // none: there are none, or one has let the query through
	scrutinyRest                  // those that are about answers
	scrutinyWhole                 // all: one that fits comes after others that are about answers
)

// ZoneStats counts queries that a trigger fitted, by Policy.Tag of its zone and by action; of disabled zones apart. 64-bit words only, as in Stats.
type ZoneStats struct {
	Hits     [rpz.TagsMax][rpz.Actions]uint64
	Disabled [rpz.TagsMax]uint64
}

// follow takes over the set that holds now.
func (z *zones) follow() {
	if z.set = z.next.Load(); z.set != nil && z.room == nil {
		z.room = new(zonesRoom)
		z.journal.Store(&z.room.journal)
	}
}

// governed asks the policies about a query before it is looked up, and reports whether it is answered, or dropped, by that. Queries without RD
// are not: the draft (§2) is about recursion. Otherwise l.later says who is to see the answer.
func (w *worker) governed(l *lookup, from *origin) bool {
	l.later = scrutinyNone
	z := &w.zones
	if l.query.Flags&wire.FlagRD == 0 || l.query.Class != wire.ClassINET || !z.room.scratch.Name.Set(l.name()) {
		return false
	}
	asker := askerOf(from, l.query.DO)
	v := z.set.Query(&z.room.scratch.Name, &asker)
	if v.Disabled != 0 {
		w.countDisabled(v.Disabled, &asker, l.query.Type)
	}
	switch {
	case v.Match.Action != rpz.None:
		return w.applyPolicy(&v.Match, &asker, l.key, l.hash, 0, from)
	case v.Later:
		l.later = scrutinyWhole
	case z.set.Answers():
		l.later = scrutinyRest
	}
	return false
}

// judged asks the policies about an answer that is age seconds old, and reports whether the client has got another one, or none, because of them. key
// and hash are of the question; w.client is who asks.
func (w *worker) judged(a *wire.Answer, age uint32, s scrutiny, key []byte, hash uint64, to *origin) bool {
	z := &w.zones
	if z.set == nil || !z.room.scratch.Name.Set(wire.KeyName(key)) {
		return false
	}
	asker := askerOf(to, w.client.DO)
	asker.Later = s == scrutinyWhole
	v := z.set.Judge(&z.room.scratch, wire.KeyQuestion(key), &asker, a)
	if v.Disabled != 0 {
		w.countDisabled(v.Disabled, &asker, wire.KeyType(key))
	}
	return v.Match.Action != rpz.None && w.applyPolicy(&v.Match, &asker, key, hash, age, to)
}

// judgedUnsaid is judged for a query that gets no answer of an upstream's, but one of ours or a failure: of the policies that were put off because an answer
// might bring earlier ones into play, those that are about client and name count now (what the draft calls triggers that need no resolution). Addresses
// that we answer with ourselves are no policy's business, as in unbound.
func (w *worker) judgedUnsaid(s scrutiny, key []byte, hash uint64, to *origin) bool {
	return s == scrutinyWhole && w.zones.set != nil && w.judged(&w.zones.room.unsaid, 0, s, key, hash, to)
}

func askerOf(from *origin, do bool) rpz.Asker {
	return rpz.Asker{Client: from.path.Addr().Addr().Unmap(), DO: do}
}

// countDisabled counts and notes what disabled zones would have done.
func (w *worker) countDisabled(mask uint32, asker *rpz.Asker, qtype uint16) {
	for ; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros32(mask)
		p := w.zones.set.Policy(i)
		w.zones.room.stats.Disabled[p.Tag]++
		if p.Log {
			w.zones.room.journal.Write(p, &rpz.Match{Zone: i}, asker.Client, qtype, w.zones.room.scratch.Name.Wire())
		}
	}
}

// applyPolicy carries out a policy for the question of key, and reports whether the query is done with.
func (w *worker) applyPolicy(m *rpz.Match, asker *rpz.Asker, key []byte, hash uint64, age uint32, to *origin) bool {
	room := w.zones.room
	p := w.zones.set.Policy(m.Zone)
	qtype := wire.KeyType(key)
	room.stats.Hits[p.Tag][m.Action]++
	if p.Log {
		room.journal.Write(p, m, asker.Client, qtype, room.scratch.Name.Wire())
	}
	switch {
	case m.Action == rpz.Passthru, m.Action == rpz.TCPOnly && to.tcp:
		return false
	case m.Action == rpz.Drop:
		if to.tcp { // its client would wait for an answer
			w.closeStream(to.conn)
		}
		return true
	}
	target, ttl := w.zones.set.Reply(&room.scratch, *m, qtype, age, &room.out)
	if target != nil {
		w.lead(key, hash, target, ttl, to)
		return true
	}
	w.reply(to, &room.out, 0)
	return true
}

// lead answers the question of key with a CNAME and what there is behind it, from the cache or from upstreams. What is behind it is not
// subject to policies again.
//
// On a miss there are two slots: one for the question of the client, whose hash no query has, so that only clients who are led the same way
// join it, and the usual one for the name behind, in which the first one waits.
func (w *worker) lead(key []byte, hash uint64, target []byte, ttl uint32, to *origin) {
	kept, scope := w.answer, w.scope // they may be being told to others
	defer func() { w.answer, w.scope = kept, scope }()
	l, own := w.targetOf(key, target), len(wire.KeyName(key))
	if w.cache != nil && !l.pool.spec.NoCache {
		if age, state := w.cache.Get(l.hash, l.key, w.seconds(), &w.answer); state == cache.Fresh {
			w.reply(to, w.makeAlias(&w.answer, l.key, own, ttl, age), age)
			return
		}
		if rcode, held := w.failures.Held(l.hash, w.now); held {
			w.replyError(to, rcode, wire.EDECachedError)
			return
		}
	}
	if a := w.active.local.Answer(l.name(), l.query.Type, l.pool != w.active.pools[0]); a != nil {
		w.reply(to, w.makeAlias(a, l.key, own, ttl, 0), 0)
		return
	}
	w.leadMiss(key, hash^bits.RotateLeft64(l.hash, 32)^1, l, ttl, to)
}

// leadMiss is lead where somebody has to be asked.
func (w *worker) leadMiss(key []byte, hash uint64, l *lookup, ttl uint32, to *origin) {
	if slot, ok := w.table.Find(hash, key); ok {
		if !w.wait(slot, scrutinyNone, to) {
			w.turnDown(to, wire.ReasonFull)
		}
		return
	}
	if w.draining && w.common.lent == 0 { // else the query came before that, and has its first answer now
		w.stats.Drops[DropDraining]++
		return
	}
	if to.full() {
		w.turnDown(to, wire.ReasonQuota)
		return
	}
	first, ok := w.table.Open(hash, key)
	if !ok {
		w.turnDown(to, wire.ReasonFull)
		return
	}
	s := w.table.At(first)
	s.Pool, s.Name = l.pool.tag, uint64(ttl)
	link := inflight.Waiter{Alias: true, Conn: first, Socket: ring.Handle(s.Gen)}
	second, under := w.table.Find(l.hash, l.key)
	if !under {
		second, ok = w.table.Open(l.hash, l.key)
	}
	switch {
	case !ok || !w.wait(first, scrutinyNone, to):
	case !w.table.AddWaiter(second, &link):
	case under:
		return
	default:
		w.charge(second, to)
		w.start(second, l)
		return
	}
	if ok && !under {
		w.table.Release(second)
	}
	w.deliver(s, first, nil, wire.RCodeServFail, wire.ReasonFull)
	if s.WaiterCount == 0 {
		w.turnDown(to, wire.ReasonFull)
	}
	w.table.Release(first)
}

// targetOf makes the question for another name out of that of key.
func (w *worker) targetOf(key, target []byte) *lookup {
	room := w.zones.room
	question := append(room.question[:0], target...)
	question = append(question, wire.KeyQuestion(key)[len(wire.KeyName(key)):]...)
	l := &room.target
	l.query = wire.Query{
		Flags: w.client.Flags, Question: question, NameLen: len(target), Type: wire.KeyType(key), Class: wire.ClassINET, HasOPT: w.client.HasOPT, DO: w.client.DO,
	}
	l.key = l.query.Key(&l.space)
	l.pool = w.poolFor(l.name())
	wire.SetKeyPool(l.key, l.pool.tag)
	l.key = wire.AppendPartition(l.key, wire.KeyPartition(key))
	if l.pool.tells {
		l.key = wire.AppendUnsent(l.key) // what is behind is looked up for nobody in particular
	}
	l.hash = wire.Hash(w.seed, l.key)
	return l
}

// makeAlias makes room.alias out of a CNAME and a, which is the answer to the question of key; own is how long the name is that was asked for. Where
// both together are too large, the CNAME says where to ask.
func (w *worker) makeAlias(a *wire.Answer, key []byte, own int, ttl, age uint32) *wire.Answer {
	room := w.zones.room
	if !wire.AliasAnswer(room.records[:], room.ttls[:], a, wire.KeyQuestion(key), own, ttl, age, &room.alias) {
		empty := wire.Answer{Flags: wire.FlagTC}
		wire.AliasAnswer(room.records[:], room.ttls[:], &empty, wire.KeyQuestion(key), own, ttl, age, &room.alias)
	}
	room.alias.Extended = wire.EDEForged
	return &room.alias
}

// deliverAlias hands what a slot has come to on to the clients of the slot that waits in it.
func (w *worker) deliverAlias(s *inflight.Slot, waiter *inflight.Waiter, a *wire.Answer, age uint32, rcode, ede uint16) {
	slot := waiter.Conn
	first := w.table.Live(slot, uint32(waiter.Socket))
	if first == nil {
		return
	}
	if a != nil {
		a = w.makeAlias(a, s.KeyBytes(), len(wire.KeyName(first.KeyBytes())), uint32(first.Name), age)
	}
	w.deliverAged(first, slot, a, age, rcode, ede)
	w.table.Release(slot)
}

// zoneStatsWords is how many words a ZoneStats has.
const zoneStatsWords = int(unsafe.Sizeof(ZoneStats{}) / 8)

// ResponsePolicies puts set in the place of the last one: from their next turns on, the workers go by it. Nil: there are no policies.
func (g *Group) ResponsePolicies(set *rpz.Set) {
	for _, w := range g.workers {
		w.zones.next.Store(set)
	}
}

// ZoneStats returns the sum over all workers, at most publishInterval old.
func (g *Group) ZoneStats() ZoneStats {
	var sum ZoneStats
	for _, w := range g.workers {
		addTo(&w.zones.public, &sum, zoneStatsWords)
	}
	return sum
}

// ZoneHits calls yield for each hit that is to be logged and was not read yet, and returns how many were lost since the start. One goroutine at a
// time; a hit is valid until yield returns.
func (g *Group) ZoneHits(yield func(*rpz.Hit)) (lost uint64) {
	for _, w := range g.workers {
		if j := w.zones.journal.Load(); j != nil {
			lost += j.Read(yield)
		}
	}
	return lost
}
