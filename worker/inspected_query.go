package worker

import (
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/policy"
)

// queryMark tells verdicts on queries, which rest meanwhile (rest.go), from those on slots: their numbers of places have it.
const queryMark = 1 << 31

// undecidedRules is what there is to carry out where there are no rules.
var undecidedRules = policy.Verdict{Extended: wire.EDENone, Pool: -1, Tee: -1}

// inspectQuery shows the query in hand to the inspector, and reports whether it goes on later, or has been answered.
func (w *worker) inspectQuery(l *lookup, from *origin) bool {
	i, stats := w.active.asking, &w.stats.Inspect[inspect.AtQuery]
	w.showQuery(i, l, from)
	if v, ok := w.recall(i); ok {
		return w.ruleQuery(l, from, &v)
	}
	decided := &undecidedRules
	if w.rules.policy != nil {
		decided = &w.rules.result
	}
	due := w.now + int64(i.points[inspect.AtQuery].Budget)
	q, place := w.lay(l, from, decided, due)
	if q == nil {
		stats.Full++
		return w.unruledQuery(from)
	}
	if !i.line.Ask(place|queryMark, q.gen, time.Duration(due), &i.question) {
		w.rules.rest.lift(place)
		stats.Full++
		return w.unruledQuery(from)
	}
	stats.Asked++
	q.shown, q.verdict.Tee, q.verdict.Wait = true, -1, 0 // both are done
	if from.tcp {
		w.conns.Begin(from.conn)
	}
	return true
}

// showQuery makes i.question the query in hand.
func (w *worker) showQuery(i *inspectLink, l *lookup, from *origin) {
	var tags uint64
	if w.rules.policy != nil {
		tags = w.rules.query.Tags
	}
	i.ask(inspect.AtQuery, l.key, l.pool, tags)
	i.question.TCP, i.question.Client = from.tcp, from.path.Addr().Addr()
}

// queryVerdict goes on with a query that waits for the verdict that r is.
func (w *worker) queryVerdict(i *inspectLink, r *inspect.Reply) {
	places := w.rules.rest.places
	place := r.Slot &^ queryMark
	if int(place) >= len(places) || places[place].gen != r.Gen {
		return // too late
	}
	q, stats := &places[place], &w.stats.Inspect[inspect.AtQuery]
	var from origin
	if l := w.riseShown(q, &from); l != nil {
		switch {
		case !r.Decided:
			stats.Failed++
			if !w.unruledQuery(&from) {
				w.proceed(l, &from)
			}
		default:
			stats.Latency.add(w.now-(q.due-int64(i.points[inspect.AtQuery].Budget)), 1)
			w.showQuery(i, l, &from)
			w.learn(i, r)
			w.countVerdict(inspect.AtQuery, &r.Verdict)
			if !w.ruleQuery(l, &from, &r.Verdict) {
				w.proceed(l, &from)
			}
		}
	}
	w.rules.rest.lift(place)
}

// queryLate goes on with a query whose verdict has not come in time.
func (w *worker) queryLate(q *resting) {
	w.stats.Inspect[inspect.AtQuery].Late++
	var from origin
	if l := w.riseShown(q, &from); l != nil && !w.unruledQuery(&from) {
		w.proceed(l, &from)
	}
}

// riseShown makes a query that was shown the one in hand again, with what the rules have decided; nil: its client is gone, or it has been answered.
func (w *worker) riseShown(q *resting, from *origin) *lookup {
	l := w.rise(q, from)
	if q.tcp {
		conn := w.live(q.conn)
		if conn == nil {
			w.stats.Drops[DropGone]++
			return nil
		}
		from.path = &conn.Peer
		w.conns.Done(q.conn, w.now)
		w.markDirty(q.conn) // it may have more to ask
	}
	switch {
	case l.key == nil: // a reload has changed which classes are answered
		w.otherClass(l, from)
		return nil
	case w.execute(l, from, &q.verdict):
		return nil
	}
	return l
}

// ruleQuery carries out a verdict on the query in hand, and reports whether that was the end of it.
func (w *worker) ruleQuery(l *lookup, from *origin, v *inspect.Verdict) (ended bool) {
	if i := w.active.asking; i != nil && w.rules.policy != nil {
		w.rules.query.Tags |= i.meant(v.Tags)
	}
	switch v.Do {
	case inspect.Answer:
		w.replyError(from, v.RCode, wire.EDEBlocked)
		return true
	case inspect.Drop:
		w.dropByRule(from)
		return true
	default:
		l.passCache = l.passCache || v.Do == inspect.Once
	}
	if most := uint32(v.TTLMax); most != 0 && (w.client.TTLHigh == 0 || most < w.client.TTLHigh) {
		w.client.TTLHigh = most
	}
	return false
}

// unruledQuery refuses the query in hand, which has no verdict, where that is to be, and reports whether it did.
func (w *worker) unruledQuery(from *origin) bool {
	i := w.active.asking
	if i == nil || !i.points[inspect.AtQuery].Refuse {
		return false
	}
	w.stats.Inspect[inspect.AtQuery].Denied++
	w.replyError(from, wire.RCodeRefused, wire.EDEBlocked)
	return true
}
