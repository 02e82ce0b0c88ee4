package worker

import (
	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// rest holds queries over UDP that a rule delays. It has no room until the first one comes.
type rest struct {
	queries []resting
	next    int64 // ns: when the first of them is due; 0: there are none
}

// resting is a delayed query with what the rules have decided on it.
type resting struct {
	due      int64
	socket   ring.Handle
	path     ring.Path
	listener uint32
	policy   *policy.Policy
	verdict  policy.Verdict
	tags     uint64
	bytes    int
	message  [restingBytesMax]byte
}

// postpone lets the query in hand rest as long as its verdict says, and reports whether there was room.
func (w *worker) postpone(l *lookup, from *origin) bool {
	r, v := &w.rules.rest, &w.rules.result
	if len(r.queries) == restingMax || len(l.message) > restingBytesMax {
		w.stats.DelaysDenied++
		return false
	}
	if r.queries == nil {
		r.queries = make([]resting, 0, restingMax)
	}
	r.queries = r.queries[:len(r.queries)+1]
	q := &r.queries[len(r.queries)-1]
	q.due, q.socket, q.path, q.listener = w.now+v.Wait, from.socket, *from.path, from.listener
	q.policy, q.verdict, q.tags = w.rules.policy, *v, w.rules.query.Tags
	q.bytes = copy(q.message[:], l.message)
	if r.next == 0 || q.due < r.next {
		r.next = q.due
	}
	w.stats.Delays++
	return true
}

// wake goes on with the queries that have rested.
func (w *worker) wake() {
	r := &w.rules.rest
	if r.next == 0 || w.now < r.next {
		return
	}
	r.next = 0
	for i := 0; i < len(r.queries); {
		q := &r.queries[i]
		if q.due > w.now {
			if r.next == 0 || q.due < r.next {
				r.next = q.due
			}
			i++
			continue
		}
		w.goOnWith(q)
		last := len(r.queries) - 1
		r.queries[i] = r.queries[last]
		r.queries[last].verdict = policy.Verdict{} // it may hold on to an old policy
		r.queries = r.queries[:last]
	}
}

// goOnWith carries out the verdict on a query that has rested. A reload may have changed what numbers of pools mean.
func (w *worker) goOnWith(q *resting) {
	l, from := &w.single, origin{socket: q.socket, path: &q.path, listener: q.listener}
	w.parse(q.message[:q.bytes], l)
	w.client = l.query.Client(l.query.ReplyLimit(w.cfg.UDPSizeMax))
	w.asked = asked{}
	if len(l.query.Options) != 0 {
		w.heed(l, &from)
	}
	w.assign(l, &from)
	w.present(l, &from)
	w.rules.query.Tags = q.tags
	if q.policy != w.rules.policy {
		q.verdict.Pool, q.verdict.Tee, q.verdict.Subnet = -1, -1, nil
		q.verdict.Edits.Reset()
		w.overlook(l, from.view, &q.verdict)
	}
	if !w.execute(l, &from, &q.verdict) {
		w.proceed(l, &from)
	}
}

// A message that can rest has room for the longest query.
const _ = uint(restingBytesMax - wire.PaddedQueryBytesMax)
