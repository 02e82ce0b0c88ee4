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

// An inspector may look at what goes on, if there is one, at up to three points: see worker/inspect. What it looks at waits for the verdict: a question
// in its slot (stepInspection), an answer in its slot and a place of its own (stepAnswer, inspected_answer.go), a query in a place
// of its own (inspected_query.go). When the budget is over, or there will be no verdict, InspectPoint.Refuse decides.

// Inspection is the inspector, as a snapshot has it.
type Inspection struct {
	Host   *inspect.Host // nil: there is none. One that is the same pointer as in the snapshot before keeps its goroutines
	Points [inspect.Points]InspectPoint
	Tags   []uint64 // bits of policy.Query.Tags by number of the inspector's tag, up to inspect.TagsMax; each is one bit
	Kept   int      // verdicts that a worker may keep, inspect.KeptMin to inspect.KeptMax; 0: none
}

// InspectPoint is what happens at one point.
type InspectPoint struct {
	On     bool          // the inspector is asked
	Budget time.Duration // how long the verdict is waited for, at most: inspect.BudgetMin to inspect.BudgetMax
	Refuse bool          // what has no verdict is refused; else it passes
}

func (i *Inspection) validate() error {
	if i.Host == nil {
		return nil
	}
	var errs []error
	asked := false
	for at := range i.Points {
		p := &i.Points[at]
		if asked = asked || p.On; p.On && (p.Budget < inspect.BudgetMin || p.Budget > inspect.BudgetMax) {
			errs = append(errs, fmt.Errorf("inspection: %s: budget %v: want %v to %v", inspect.PointNames[at], p.Budget, inspect.BudgetMin, inspect.BudgetMax))
		}
	}
	if !asked {
		errs = append(errs, errors.New("inspection: at no point"))
	}
	if len(i.Tags) > inspect.TagsMax {
		errs = append(errs, fmt.Errorf("inspection: %d tags: want at most %d", len(i.Tags), inspect.TagsMax))
	}
	if i.Kept != 0 && (i.Kept < inspect.KeptMin || i.Kept > inspect.KeptMax) {
		errs = append(errs, fmt.Errorf("inspection: %d kept verdicts: want 0, or %d to %d", i.Kept, inspect.KeptMin, inspect.KeptMax))
	}
	return errors.Join(errs...)
}

// InspectStats counts what happened at one point. 64-bit words only, as in Stats.
type InspectStats struct {
	Asked, Recalled, Full           uint64    // shown; not shown because a verdict was kept; not shown for want of room
	Passed, Once, Answered, Dropped uint64    // verdicts, kept ones too
	Late, Failed, Denied            uint64    // no verdict within the budget; none at all; of these and Full, those refused
	Latency                         Histogram // of what was shown and has a verdict
}

// inspectLink is a Host as one worker sees it. The Group makes it, the worker alone uses it.
type inspectLink struct {
	_        [128]byte
	host     *inspect.Host
	line     *inspect.Line
	kept     *inspect.Kept // nil: no verdict is kept
	room     int           // of kept
	points   [inspect.Points]InspectPoint
	tags     []uint64
	question inspect.Question
	pool     []byte // of question
	records  [inspect.RecordsBytesMax]byte
	_        [128]byte
}

// set takes in what a reload may change, and returns i, which may be nil.
func (i *inspectLink) set(c *Inspection) *inspectLink {
	if i != nil {
		i.points, i.tags = c.Points, c.Tags
	}
	return i
}

// at returns i if it looks at a point, else nil. i may be nil.
func (i *inspectLink) at(point inspect.Point) *inspectLink {
	if i == nil || !i.points[point].On {
		return nil
	}
	return i
}

// close ends the driver and gives back the table, which no worker uses any more.
func (i *inspectLink) close(ctx context.Context) error {
	err := i.line.Close(ctx)
	if i.kept != nil {
		err = errors.Join(err, i.kept.Close())
	}
	return err
}

// linkInspector returns the links of the workers to the Host of a snapshot: those in use if they will do, new ones that are served if not; nil for none.
func (g *Group) linkInspector(c *Inspection) ([]*inspectLink, error) {
	if c.Host == nil {
		return nil, nil
	}
	if len(g.inspect) != 0 && g.inspect[0].host == c.Host && g.inspect[0].room == c.Kept {
		return g.inspect, nil
	}
	var links []*inspectLink
	for i := range g.cfg.Workers {
		link, err := newInspectLink(c, g.wake(i))
		if err != nil {
			return nil, errors.Join(err, closeLinks(links))
		}
		c.Host.Serve(link.line)
		links = append(links, link)
	}
	return links, nil
}

// newInspectLink makes a link that nothing serves yet.
func newInspectLink(c *Inspection, wakeWorker func()) (*inspectLink, error) {
	line, err := inspect.NewLine(wakeWorker)
	if err != nil {
		return nil, err
	}
	i := &inspectLink{host: c.Host, line: line, room: c.Kept}
	if c.Kept != 0 {
		if i.kept, err = inspect.NewKept(c.Kept); err != nil {
			return nil, errors.Join(err, line.Close(context.Background()))
		}
	}
	return i, nil
}

// known returns the tags that the inspector knows of those of a query, in its numbers.
func (i *inspectLink) known(tags uint64) (out uint8) {
	for n, bit := range i.tags {
		if tags&bit != 0 {
			out |= 1 << n
		}
	}
	return out
}

// meant returns the tags of a query that the inspector's are.
func (i *inspectLink) meant(tags uint8) (out uint64) {
	for n, bit := range i.tags {
		if tags&(1<<n) != 0 {
			out |= bit
		}
	}
	return out
}

// recall returns the verdict on i.question that is kept.
func (w *worker) recall(i *inspectLink) (v inspect.Verdict, ok bool) {
	if i.kept == nil {
		return v, false
	}
	if v, ok = i.kept.Find(&i.question, i.host.Epoch(), w.now); ok {
		w.stats.Inspect[i.question.Point].Recalled++
		w.countVerdict(i.question.Point, &v)
	}
	return v, ok
}

// learn keeps the verdict on i.question, if it says so and has not been overtaken.
func (w *worker) learn(i *inspectLink, r *inspect.Reply) {
	if i.kept == nil || r.Verdict.Keep.Seconds == 0 || r.Epoch != i.host.Epoch() {
		return
	}
	added, displaced := i.kept.Add(&i.question, &r.Verdict, r.Epoch, w.now)
	if added {
		w.stats.VerdictsKept++
	}
	if displaced {
		w.stats.VerdictsDisplaced++
	}
}

func (w *worker) countVerdict(at inspect.Point, v *inspect.Verdict) {
	s := &w.stats.Inspect[at]
	switch v.Do {
	case inspect.Answer:
		s.Answered++
	case inspect.Drop:
		s.Dropped++
	case inspect.Once:
		s.Once++
	default:
		s.Passed++
	}
}

// until is when the budget of what is shown now ends. Timers of slots are never early, so it is the last tick that is within the budget, if there is one.
func (w *worker) until(budget time.Duration) int64 {
	end := w.now + int64(budget)
	if tick := end / inflight.TickNanos * inflight.TickNanos; tick > w.now {
		return tick
	}
	return end
}

// inspect shows the question of a new slot to the inspector, and reports whether it goes on later, or has ended.
func (w *worker) inspect(slot uint32, s *inflight.Slot) bool {
	i := w.active.inspect
	p := &i.points[inspect.AtMiss]
	if !p.On {
		return false
	}
	w.show(i, slot, s)
	if v, ok := w.recall(i); ok {
		return w.rule(slot, s, i, &v)
	}
	until := w.until(p.Budget)
	if !i.line.Ask(slot, s.Gen, time.Duration(until), &i.question) {
		w.stats.Inspect[inspect.AtMiss].Full++
		return w.unruled(slot, s, inspect.AtMiss)
	}
	w.stats.Inspect[inspect.AtMiss].Asked++
	s.Step, s.HedgeAt = stepInspection, until
	w.table.Schedule(slot, until)
	return true
}

// show makes i.question the question of a slot. The client is the first one that waits.
func (w *worker) show(i *inspectLink, slot uint32, s *inflight.Slot) {
	i.ask(inspect.AtMiss, s.KeyBytes(), w.poolOf(s), s.Tags|s.ClientTags)
	q, waiter := &i.question, w.table.FirstWaiter(slot)
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

// ask makes i.question that of a key, without a client.
func (i *inspectLink) ask(at inspect.Point, key []byte, p *pool, tags uint64) {
	header := wire.KeyHeader(key)
	i.pool = append(i.pool[:0], p.spec.Name...)
	i.question = inspect.Question{
		Point: at, Name: wire.KeyName(key), Type: wire.KeyType(key), Class: wire.KeyClass(key), Pool: i.pool, Tags: i.known(tags),
		RD: header&wire.FlagRD != 0, CD: header&wire.FlagCD != 0, DO: wire.KeyFlags(key)&wire.KeyDO != 0,
	}
}

// rule carries out a verdict on the question of a slot that has not been asked yet, and reports whether that was the end of it.
func (w *worker) rule(slot uint32, s *inflight.Slot, i *inspectLink, v *inspect.Verdict) (ended bool) {
	s.Tags |= i.meant(v.Tags)
	switch v.Do {
	case inspect.Answer:
		w.countOutcome(s, v.RCode)
		w.blockSlot(slot, s, v.RCode)
	case inspect.Drop:
		w.forsake(s, slot)
	case inspect.Once:
		s.Passing |= inflight.PassesCache
		return false
	default:
		return false
	}
	return true
}

// unruled ends a slot without a verdict where that is to be, and reports whether it did.
func (w *worker) unruled(slot uint32, s *inflight.Slot, at inspect.Point) bool {
	if w.active.inspect == nil || !w.active.inspect.points[at].Refuse {
		return false
	}
	w.stats.Inspect[at].Denied++
	w.blockSlot(slot, s, wire.RCodeRefused)
	return true
}

// blockSlot answers all clients of a slot with an RCODE, and ends it.
func (w *worker) blockSlot(slot uint32, s *inflight.Slot, rcode uint16) {
	w.answer = wire.Answer{RCode: rcode, Negative: true, Extended: wire.EDEBlocked}
	w.deliver(s, slot, &w.answer, 0, 0)
	w.free(slot)
}

// inspectDue is called when the timer of a slot that waits for a verdict has run out.
func (w *worker) inspectDue(slot uint32, s *inflight.Slot) {
	if w.now < s.HedgeAt {
		w.table.Schedule(slot, s.HedgeAt) // it was for something else
		return
	}
	at := pointOf(s)
	w.stats.Inspect[at].Late++
	w.undecided(slot, s, at)
}

// pointOf is where a slot waits for a verdict.
func pointOf(s *inflight.Slot) inspect.Point {
	if s.Step == stepAnswer {
		return inspect.AtResponse
	}
	return inspect.AtMiss
}

// undecided goes on with a slot that will have no verdict.
func (w *worker) undecided(slot uint32, s *inflight.Slot, at inspect.Point) {
	s.Step, s.HedgeAt = stepOwn, 0
	switch {
	case at == inspect.AtResponse:
		w.goOnWithAnswer(slot, s, nil)
	case !w.unruled(slot, s, at):
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
		if r.Slot&queryMark != 0 {
			w.queryVerdict(i, &r)
		} else if s := w.table.Live(r.Slot, r.Gen); s != nil && (s.Step == stepInspection || s.Step == stepAnswer) {
			w.verdict(r.Slot, s, i, &r)
		}
	}
}

// verdict carries one out.
func (w *worker) verdict(slot uint32, s *inflight.Slot, i *inspectLink, r *inspect.Reply) {
	at := pointOf(s)
	stats := &w.stats.Inspect[at]
	if !r.Decided {
		stats.Failed++
		w.undecided(slot, s, at)
		return
	}
	w.show(i, slot, s)
	i.question.Point = at
	w.learn(i, r)
	w.countVerdict(at, &r.Verdict)
	s.Step, s.HedgeAt = stepOwn, 0
	if at == inspect.AtResponse {
		stats.Latency.add(w.now-w.held.at(s), 1)
		w.goOnWithAnswer(slot, s, &r.Verdict)
		return
	}
	stats.Latency.add(w.now-s.Started, 1)
	if !w.rule(slot, s, i, &r.Verdict) {
		w.pursue(slot, s)
	}
}
