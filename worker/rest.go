package worker

import (
	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/stream"
)

// rest holds queries that wait: because a rule delays them, over UDP only, or because an inspector looks at them. It has no room until the first one comes.
type rest struct {
	places []resting // in use or free; they never move
	free   uint16    // number + 1 of the first free place; 0: none but those beyond places
	used   int
	next   int64 // ns: when the first of them is due, or earlier; 0: there are none
}

// resting is a query with what the rules have decided on it.
type resting struct {
	due      int64
	socket   ring.Handle
	path     ring.Path
	conn     stream.ConnID
	listener uint32
	gen      uint32 // odd while the place is in use
	after    uint16 // number + 1 of the next free place, while free
	tcp      bool
	shown    bool // to the inspector: due is when its budget ends, and what the rules have decided is carried out
	policy   *policy.Policy
	verdict  policy.Verdict
	tags     uint64
	bytes    int
	message  [restingBytesMax]byte
}

// lay puts the query in hand, with a verdict of the rules on it, into a place, and returns that and its number; nil: there is no room.
func (w *worker) lay(l *lookup, from *origin, v *policy.Verdict, due int64) (*resting, uint32) {
	r := &w.rules.rest
	if len(l.message) > restingBytesMax || r.used == restingMax {
		return nil, 0
	}
	if r.places == nil {
		r.places = make([]resting, 0, restingMax)
	}
	place := r.free
	if place != 0 {
		r.free = r.places[place-1].after
	} else {
		r.places = r.places[:len(r.places)+1]
		place = uint16(len(r.places))
	}
	q := &r.places[place-1]
	q.due, q.socket, q.path, q.listener, q.tcp, q.conn = due, from.socket, *from.path, from.listener, from.tcp, from.conn
	q.policy, q.verdict, q.tags, q.shown = w.rules.policy, *v, w.rules.query.Tags, false
	q.bytes = copy(q.message[:], l.message)
	q.gen++
	r.used++
	if r.next == 0 || due < r.next {
		r.next = due
	}
	return q, uint32(place - 1)
}

// lift makes a place free.
func (r *rest) lift(place uint32) {
	q := &r.places[place]
	q.verdict, q.policy = policy.Verdict{}, nil // they may hold on to an old policy
	q.gen++
	q.after, r.free = r.free, uint16(place+1)
	r.used--
}

// postpone lets the query in hand rest as long as its verdict says, and reports whether there was room.
func (w *worker) postpone(l *lookup, from *origin) bool {
	v := &w.rules.result
	if q, _ := w.lay(l, from, v, w.now+v.Wait); q == nil {
		w.stats.DelaysDenied++
		return false
	}
	w.stats.Delays++
	return true
}

// wake goes on with the queries whose time has come.
func (w *worker) wake() {
	r := &w.rules.rest
	if r.next == 0 || w.now < r.next {
		return
	}
	r.next = 0
	for place := 0; place < len(r.places); place++ { // more may come meanwhile
		q := &r.places[place]
		switch {
		case q.gen&1 == 0:
		case q.due > w.now:
			if r.next == 0 || q.due < r.next {
				r.next = q.due
			}
		default:
			if q.shown {
				w.queryLate(q)
			} else {
				w.goOnWith(q)
			}
			r.lift(uint32(place))
		}
	}
}

// goOnWith carries out the verdict of the rules on a query that has rested.
func (w *worker) goOnWith(q *resting) {
	var from origin
	l := w.rise(q, &from)
	if !w.execute(l, &from, &q.verdict) && w.admits(l, &from) {
		w.proceed(l, &from)
	}
}

// rise makes a query that has rested the one in hand again; from is where it came from. A reload may have changed what numbers of pools mean.
func (w *worker) rise(q *resting, from *origin) *lookup {
	l := &w.single
	*from = origin{socket: q.socket, path: &q.path, listener: q.listener, tcp: q.tcp, conn: q.conn}
	w.parse(q.message[:q.bytes], l)
	limit := wire.MessageBytesMax
	if !q.tcp {
		limit = l.query.ReplyLimit(w.cfg.UDPSizeMax)
	}
	w.client = l.query.Client(limit)
	w.asked = asked{}
	if len(l.query.Options) != 0 {
		counted := w.stats.Cookies // when it came
		w.heed(l, from)
		w.stats.Cookies = counted
	}
	w.assign(l, from)
	w.present(l, from)
	w.rules.query.Tags, w.asked.tags = q.tags, q.tags
	if q.policy != w.rules.policy {
		q.verdict.Pool, q.verdict.Tee, q.verdict.Subnet = -1, -1, nil
		q.verdict.Edits.Reset()
		w.overlook(l, from.view, &q.verdict)
	}
	w.rules.result = q.verdict
	return l
}

// A message that can rest has room for the longest query.
const _ = uint(restingBytesMax - wire.PaddedQueryBytesMax)
