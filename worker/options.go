package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

// Options of clients that the configuration names are sent on with their query, and options of the answer with the same codes are sent back. Nobody
// knows what they mean, so such an answer is for those alone who send the very same options while it is under way: it is not cached.

// passOptions adds to the key of a query's exchange what the client's options say, and reports whether the query goes on: more of them
// than fit are refused.
func (w *worker) passOptions(l *lookup, from *origin) bool {
	picked := wire.SelectOptions(w.picked[:0], l.query.Options, w.active.passOptions)
	switch {
	case picked == nil:
		w.stats.OptionsRefused++
		w.replyError(from, wire.RCodeRefused, wire.ReasonOptions)
		return false
	case len(picked) != 0:
		w.stats.OptionsPassed++
		l.key, l.tailored.passed = wire.AppendOptions(l.key, picked), true
	}
	return true
}

// returnOptions has the clients of a slot told those options of w.answer that they may see. More than fit, none is told.
func (w *worker) returnOptions(s *inflight.Slot) {
	told := w.answer.Told
	if told != nil && len(w.active.passOptions) != 0 && len(wire.KeyOptions(s.KeyBytes())) != 0 {
		told.Passed = wire.SelectOptions(w.picked[:0], told.Options, w.active.passOptions)
	}
}
