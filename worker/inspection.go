package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/stream"
)

// Before anybody is asked, an inspector may look at the question, if there is one: see worker/inspect. The slot is there already and has its clients; it waits for
// the verdict (stepInspection) with a timer. When that is over, or there will be no verdict, Inspection.Refuse decides.

// Inspection is the inspector, as a snapshot has it.
type Inspection struct {
	Host   *inspect.Host // nil: there is none. One that is the same pointer as in the snapshot before keeps its goroutines
	Budget time.Duration // how long a question waits for its verdict, at most: inspect.BudgetMin to inspect.BudgetMax
	Refuse bool          // a question without a verdict is refused; else it passes
}

func (i *Inspection) validate() error {
	if i.Host != nil && (i.Budget < inspect.BudgetMin || i.Budget > inspect.BudgetMax) {
		return fmt.Errorf("inspection: budget %v: want %v to %v", i.Budget, inspect.BudgetMin, inspect.BudgetMax)
	}
	return nil
}

// inspectLink is a Host as one worker sees it. The Group makes it, the worker alone uses it.
type inspectLink struct {
	_        [128]byte
	host     *inspect.Host
	line     *inspect.Line
	budget   int64 // ns
	refuse   bool
	question inspect.Question
	pool     []byte // of question
	_        [128]byte
}

// set takes in what a reload may change, and returns i, which may be nil.
func (i *inspectLink) set(c *Inspection) *inspectLink {
	if i != nil {
		i.budget, i.refuse = int64(c.Budget), c.Refuse
	}
	return i
}

func (i *inspectLink) close(ctx context.Context) error { return i.line.Close(ctx) }

// linkInspector returns the links of the workers to the Host of a snapshot: those in use if it is the same, new ones that are served if not; nil for none.
func (g *Group) linkInspector(host *inspect.Host) ([]*inspectLink, error) {
	if host == nil {
		return nil, nil
	}
	if len(g.inspect) != 0 && g.inspect[0].host == host {
		return g.inspect, nil
	}
	var links []*inspectLink
	for i := range g.cfg.Workers {
		line, err := inspect.NewLine(g.wake(i))
		if err != nil {
			return nil, errors.Join(err, closeLinks(links))
		}
		host.Serve(line)
		links = append(links, &inspectLink{host: host, line: line})
	}
	return links, nil
}

// inspect shows the question of a new slot to the inspector, and reports whether it goes on later, or has ended.
func (w *worker) inspect(slot uint32, s *inflight.Slot) bool {
	i := w.active.inspect
	w.show(slot, s, &i.question)
	// Timers are never early, so the budget ends with the last tick that is within it.
	until := (w.now + i.budget) / inflight.TickNanos * inflight.TickNanos
	if !i.line.Ask(slot, s.Gen, time.Duration(until), &i.question) {
		w.stats.InspectFull++
		return w.unruled(slot, s)
	}
	w.stats.InspectAsked++
	s.Step, s.HedgeAt = stepInspection, until
	w.table.Schedule(slot, until)
	return true
}

// show makes q the question of a slot. The client is the first one that waits.
func (w *worker) show(slot uint32, s *inflight.Slot, q *inspect.Question) {
	key := s.KeyBytes()
	header := wire.KeyHeader(key)
	*q = inspect.Question{
		Name: wire.KeyName(key), Type: wire.KeyType(key), Class: wire.KeyClass(key),
		RD: header&wire.FlagRD != 0, CD: header&wire.FlagCD != 0, DO: wire.KeyFlags(key)&wire.KeyDO != 0,
	}
	i := w.active.inspect
	i.pool = append(i.pool[:0], w.poolOf(s).spec.Name...)
	q.Pool = i.pool
	waiter := w.table.FirstWaiter(slot)
	switch {
	case waiter == nil || waiter.Alias: // of another question, whose client it was
	case !waiter.TCP:
		q.Client = waiter.Path.Addr().Addr()
	default:
		q.TCP = true
		if conn := w.live(stream.ConnID(waiter.Conn)); conn != nil {
			q.Client = conn.Peer.Addr().Addr()
		}
	}
}

// unruled ends a slot without a verdict where that is to be, and reports whether it did.
func (w *worker) unruled(slot uint32, s *inflight.Slot) bool {
	if !w.active.inspect.refuse {
		return false
	}
	w.stats.InspectDenied++
	w.rule(slot, s, wire.RCodeRefused)
	return true
}

// rule answers all clients of a slot with an RCODE, and ends it.
func (w *worker) rule(slot uint32, s *inflight.Slot, rcode uint16) {
	w.answer = wire.Answer{RCode: rcode, Negative: true, Extended: wire.EDEBlocked}
	w.countOutcome(s, rcode)
	w.deliver(s, slot, &w.answer, 0, 0)
	w.free(slot)
}

// inspectDue is called when the timer of a slot that waits for its verdict has run out.
func (w *worker) inspectDue(slot uint32, s *inflight.Slot) {
	if w.now < s.HedgeAt {
		w.table.Schedule(slot, s.HedgeAt) // it was for something else
		return
	}
	s.Step, s.HedgeAt = stepOwn, 0
	w.stats.InspectLate++
	if w.active.inspect == nil || !w.unruled(slot, s) {
		w.pursue(slot, s)
	}
}

// receiveVerdicts takes what the inspector has said, at most laneBatch verdicts so that it does not hold up the turn.
func (w *worker) receiveVerdicts() {
	i := w.active.inspect
	for range laneBatch {
		r, ok := i.line.Receive()
		if !ok {
			return
		}
		w.busy = true
		if s := w.table.Live(r.Slot, r.Gen); s != nil && s.Step == stepInspection {
			w.verdict(r.Slot, s, &r)
		}
	}
}

// verdict carries one out.
func (w *worker) verdict(slot uint32, s *inflight.Slot, r *inspect.Reply) {
	s.Step, s.HedgeAt = stepOwn, 0
	if !r.Decided {
		w.stats.InspectFailed++
		if !w.unruled(slot, s) {
			w.pursue(slot, s)
		}
		return
	}
	w.stats.InspectLatency.add(w.now-s.Started, 1)
	switch r.Verdict.Do {
	case inspect.Answer:
		w.stats.InspectAnswered++
		w.rule(slot, s, r.Verdict.RCode)
	case inspect.Drop:
		w.stats.InspectDropped++
		w.forsake(s, slot)
	case inspect.Once:
		w.stats.InspectOnce++
		s.Passing |= inflight.PassesCache
		w.pursue(slot, s)
	default:
		w.stats.InspectPassed++
		w.pursue(slot, s)
	}
}
