package health

import "fmt"

// Cause is what kind of event a Reason is about.
type Cause uint8

const (
	CauseNone        Cause = iota
	CauseAnswer            // an answer to a live query
	CauseProbe             // a good probe
	CauseFailures          // exchanges in a row without an answer
	CauseUnanswered        // the failure budget, by exchanges without an answer
	CauseDeclined          // the failure budget, with SERVFAIL, NOTIMP and REFUSED
	CauseSlow              // the latency budget
	CauseConnection        // Err: why there is no connection
	CauseConnected         // a connection
	CauseProbeFailed       // Err: what was wrong with the probe
	CauseWell              // nothing is wrong any more
	CauseOperator          // the configuration
	CauseTrial             // a live trial went wrong
	CauseBarred            // Err: why somebody keeps it out of use
	CauseUnbarred          // nobody does any more
)

// Reason is why a state was entered. It is a plain value, so that a worker can give one without allocating.
type Reason struct {
	Cause  Cause
	N, Of  int64 // failures in a row; or N of Of exchanges in the window
	Err    error // of CauseConnection, CauseProbeFailed and CauseBarred
	Budget int   // percent
}

// Error says it in words.
func (r *Reason) Error() string {
	share := func(what string) string {
		return fmt.Sprintf("%d of %d %s (%d%%), the budget is %d%%", r.N, r.Of, what, r.N*100/max(r.Of, 1), r.Budget)
	}
	switch r.Cause {
	case CauseAnswer:
		return "it answered"
	case CauseProbe:
		return "a probe was answered"
	case CauseFailures:
		return fmt.Sprintf("%d exchanges in a row without an answer", r.N)
	case CauseUnanswered:
		return share("exchanges without an answer")
	case CauseDeclined:
		return share("exchanges without an answer or with SERVFAIL, NOTIMP or REFUSED")
	case CauseSlow:
		return share("answers too slow")
	case CauseConnection:
		return r.Err.Error()
	case CauseConnected:
		return "a connection works"
	case CauseProbeFailed:
		if r.N == 1 {
			return fmt.Sprintf("a probe failed: %v", r.Err)
		}
		return fmt.Sprintf("%d probes in a row failed, the last: %v", r.N, r.Err)
	case CauseWell:
		return "nothing is wrong any more"
	case CauseOperator:
		return "configured"
	case CauseTrial:
		return "a trial failed"
	case CauseBarred:
		return r.Err.Error()
	case CauseUnbarred:
		return "the reason to keep it out of use is gone"
	}
	return "no reason"
}

// Unwrap returns what lies behind it.
func (r *Reason) Unwrap() error { return r.Err }

// Transition is one change of what is shown by Status.
type Transition struct {
	At       int64 // ns
	From, To Status
	Reason   Reason
}

// history keeps changes for one reader, and counts. Guarded by State.mu.
type history struct {
	ring    [transitionsMax]Transition
	first   int
	n       int
	dropped uint64
	entered [StatusCount]uint64
}

func (h *history) note(t Transition) {
	h.entered[t.To]++
	if h.n == len(h.ring) {
		h.first = (h.first + 1) % len(h.ring)
		h.n--
		h.dropped++
	}
	h.ring[(h.first+h.n)%len(h.ring)] = t
	h.n++
}

// Transitions appends to dst the changes since the last call, oldest first, and returns how many had to be dropped meanwhile. For one
// reader.
func (s *State) Transitions(dst []Transition) (list []Transition, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.history
	for ; h.n > 0; h.n-- {
		dst = append(dst, h.ring[h.first])
		h.first = (h.first + 1) % len(h.ring)
	}
	dropped, h.dropped = h.dropped, 0
	return dst, dropped
}
