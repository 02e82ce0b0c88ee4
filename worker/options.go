package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
)

// Options of clients that the configuration names are sent on with their query, and options of the answer with the same codes are sent back. Nobody
// knows what they mean, so such an answer is for those alone who send the very same options while it is under way: it is not cached. What a rule has sent
// is known: answers to that are kept for whoever is sent the same.

// adjustOptions adds to the key of a query's exchange the options that are sent: the client's that are passed on, as rules have changed them. It reports
// whether the query goes on: more of them than fit are refused.
func (w *worker) adjustOptions(l *lookup, from *origin) bool {
	picked := w.picked[:0]
	if len(w.active.passOptions) != 0 && len(l.query.Options) != 0 {
		picked = wire.SelectOptions(picked, l.query.Options, w.active.passOptions)
	}
	fits := picked != nil
	clients := len(picked) != 0
	if fits && l.edits.Any() {
		picked, fits = l.edits.Apply(picked)
	}
	switch {
	case !fits:
		w.stats.OptionsRefused++
		w.replyError(from, wire.RCodeRefused, wire.ReasonOptions)
		return false
	case len(picked) == 0:
		return true
	case clients:
		w.stats.OptionsPassed++
		l.tailored.passed = true
	}
	l.key = wire.AppendOptions(l.key, picked)
	return true
}

// stripAnswer takes out of what came with w.answer what rules do not want told.
func (w *worker) stripAnswer(e *policy.Edits) {
	var options []byte
	told := w.answer.Told
	if told != nil {
		options = told.Options
	}
	options, extended := e.Strip(options)
	if told != nil {
		told.Options = options
	}
	if extended {
		w.answer.Extended = 0
	}
}

// returnOptions has the clients of a slot told those options of w.answer that they may see. More than fit, none is told.
func (w *worker) returnOptions(s *inflight.Slot) {
	told := w.answer.Told
	if told != nil && s.Passing&inflight.PassesOptions != 0 {
		told.Passed = wire.SelectOptions(w.picked[:0], told.Options, w.active.passOptions)
	}
}
