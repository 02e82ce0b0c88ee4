package transport

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// LaneLimits bounds the memory of a lane. Zero means the default in limits.go.
type LaneLimits struct {
	Outstanding      int // queries without a reply, 1..1<<20
	QueryBytes       int // the longest query, up to a quarter of the queue
	QueryQueueBytes  int // power of two
	AnswerQueueBytes int // power of two, at least 32 × Outstanding + 256 KiB
}

// Lane joins one worker and one upstream. See the package documentation for who may call what.
type Lane struct {
	end        *Endpoint
	wakeWorker func()
	spare      uint64 // bytes of the answer queue that only faults may use: one record for each outstanding query
	max        uint64
	longest    int // query, bytes

	// worker
	_         [cacheLines]byte
	submitted uint64
	received  uint64
	refused   uint64
	shown     workerCounters
	_         [cacheLines]byte

	queries *Queue // worker → driver
	answers *Queue // driver → worker; put and publish under mu
	bell    *bell

	mu    sync.Mutex // the producers of answers
	tally [FaultCount]uint64
	drops uint64

	counters  Counters
	watched   context.Context // whose end calls the bell; driver's goroutine only
	lifecycle lifecycle
}

// Request is a query to be sent: a whole message; its id means nothing. The view is valid until the next call of Next.
type Request struct {
	Slot, Gen uint32
	Deadline  time.Duration // since Base
	Cancel    bool          // no query: nobody waits any more for the answer to the one submitted as (Slot, Gen)
	Late      bool          // of Cancel: the query has had its time in vain
	Query     []byte
}

// Reply is what became of one Submit. Msg is a whole message if Fault is FaultNone, with any id; it answers the question that was
// submitted, but nothing beyond the question has been looked at.
type Reply struct {
	Slot, Gen uint32
	Fault     Fault
	Msg       []byte
}

// NewLane returns a lane of e that nothing serves yet (see Start). wakeWorker is called from any goroutine after replies have been
// published; it must be cheap and must not block (ring.Waker.Wake). The caller owes the lane a Close.
func NewLane(e *Endpoint, wakeWorker func(), limits LaneLimits) (*Lane, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return newLane(e, wakeWorker, limits)
}

// NewNamedLane returns a lane that leads to no upstream but to what its driver knows: a cache that instances share. It has no Endpoint but for
// the name; what is submitted and answered over it is between worker and driver, and an answer may be empty. See NewLane for the rest.
func NewNamedLane(name string, wakeWorker func(), limits LaneLimits) (*Lane, error) {
	return newLane(&Endpoint{Name: name}, wakeWorker, limits)
}

func newLane(e *Endpoint, wakeWorker func(), limits LaneLimits) (*Lane, error) {
	if limits.Outstanding == 0 {
		limits.Outstanding = OutstandingDefault
	}
	if limits.QueryQueueBytes == 0 {
		limits.QueryQueueBytes = QueryQueueDefault
	}
	if limits.AnswerQueueBytes == 0 {
		limits.AnswerQueueBytes = AnswerQueueDefault
	}
	if limits.QueryBytes == 0 {
		limits.QueryBytes = QueryBytesMax
	}
	spare := limits.Outstanding * recordAlign
	if limits.Outstanding < 1 || limits.Outstanding > 1<<20 {
		return nil, fmt.Errorf("lane: %d outstanding queries, want 1 to %d", limits.Outstanding, 1<<20)
	}
	// An answer that does not fit before the end of the ring wastes up to its own size there.
	if room := 2 * int(recordBytes(MessageBytesMax)); limits.AnswerQueueBytes < spare+room {
		return nil, fmt.Errorf("lane: answer queue of %d bytes, want at least %d", limits.AnswerQueueBytes, spare+room)
	}
	if limits.QueryBytes < 1 || limits.QueryBytes > limits.QueryQueueBytes/4 {
		return nil, fmt.Errorf("lane: queries of %d bytes in a queue of %d, want 1 to a quarter", limits.QueryBytes, limits.QueryQueueBytes)
	}
	queries, err := newQueue(limits.QueryQueueBytes)
	if err != nil {
		return nil, fmt.Errorf("lane: queries: %w", err)
	}
	answers, err := newQueue(limits.AnswerQueueBytes)
	if err != nil {
		return nil, fmt.Errorf("lane: answers: %w", err)
	}
	bell, err := newBell()
	if err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	return &Lane{
		end: e, wakeWorker: wakeWorker, spare: uint64(spare), max: uint64(limits.Outstanding), longest: limits.QueryBytes,
		queries: queries, answers: answers, bell: bell,
	}, nil
}

// Endpoint returns what the lane leads to.
func (l *Lane) Endpoint() *Endpoint { return l.end }

// Submit copies query, a whole message of at most LaneLimits.QueryBytes bytes with one question, into the lane; Flush shows it to the
// driver. slot and gen come back in the Reply. deadline is a time since Base: the driver gives up then, if the worker did not before.
// False, and no Reply follows: too many outstanding, or the queue is full, or the query is too long. Worker only; no allocation.
func (l *Lane) Submit(slot, gen uint32, deadline time.Duration, query []byte) bool {
	if l.submitted-l.received >= l.max || len(query) > l.longest ||
		!l.queries.put(record{slot: slot, gen: gen, deadline: int64(deadline)}, query, 0) {
		l.refused++
		return false
	}
	l.submitted++
	return true
}

// Cancel tells the driver that the answer to the query submitted as (slot, gen) is of no use any more, so that it may give up what that
// costs: a stream. late: the query has had its time, and that no answer came is held against its connection; if not, somebody else was
// quicker. The query still gets its one Reply. Nothing is said when the queue is full. Worker only; no allocation.
func (l *Lane) Cancel(slot, gen uint32, late bool) {
	r := record{slot: slot, gen: gen, fault: cancelMark}
	if late {
		r.fault = cancelLateMark
	}
	l.queries.put(r, nil, 0)
}

// Flush shows the driver everything submitted since the last Flush, and wakes it if it sleeps. Call it once a turn. Worker only.
func (l *Lane) Flush() {
	if l.queries.publish() {
		l.bell.ring()
	}
	l.shown.store(l.submitted, l.received, l.refused)
}

// Receive returns the next reply. Msg may be modified and is valid until the next call. Worker only; no allocation.
func (l *Lane) Receive() (Reply, bool) {
	r, msg, ok := l.answers.take()
	if !ok {
		return Reply{}, false
	}
	l.received++
	return Reply{Slot: r.slot, Gen: r.gen, Fault: r.fault, Msg: msg}, true
}

// Pending reports whether there is anything to Receive: one atomic load. Worker only.
func (l *Lane) Pending() bool { return !l.answers.empty() }

// Outstanding returns how many submitted queries have not been received back. Worker only.
func (l *Lane) Outstanding() int { return int(l.submitted - l.received) }

// Wait sleeps until there is a query, somebody calls Notify, ctx ends, or until (time since Base; 0 = no bound). It may return for
// no reason. The error is that of ctx. One goroutine of the driver calls Wait, Nap and Next, always with the same ctx.
func (l *Lane) Wait(ctx context.Context, until time.Duration) error {
	return l.rest(ctx, until, asleep)
}

// Nap is Wait for a driver that cannot take queries now: they do not end it, and the worker pays no wake-up for them. Whatever makes room
// calls Notify.
func (l *Lane) Nap(ctx context.Context, until time.Duration) error {
	return l.rest(ctx, until, napping)
}

func (l *Lane) rest(ctx context.Context, until time.Duration, as uint32) error {
	if l.watched != ctx {
		l.watched = ctx
		context.AfterFunc(ctx, l.bell.call)
	}
	l.bell.arm(as)
	if l.bell.called.Swap(false) || as == asleep && !l.queries.empty() || ctx.Err() != nil {
		l.bell.disarm()
		return ctx.Err()
	}
	l.bell.sleep(until)
	l.bell.disarm()
	l.bell.called.Store(false)
	return ctx.Err()
}

// Notify makes Wait and Nap return. Any goroutine; not after Close.
func (l *Lane) Notify() { l.bell.call() }

// Next returns the next query, or that one is not wanted any more. The view is valid until the next call. The goroutine that calls Wait.
func (l *Lane) Next() (Request, bool) {
	r, query, ok := l.queries.take()
	if !ok {
		return Request{}, false
	}
	return Request{
		Slot: r.slot, Gen: r.gen, Deadline: time.Duration(r.deadline), Query: query,
		Cancel: r.fault == cancelMark || r.fault == cancelLateMark, Late: r.fault == cancelLateMark,
	}, true
}

// Answer queues msg, 12 to MessageBytesMax bytes, as the reply to (slot, gen); Publish shows it to the worker. It copies msg. While
// the queue is full it publishes and sleeps, up to answerWait, and then turns the answer into FaultFull. Any goroutine.
func (l *Lane) Answer(slot, gen uint32, msg []byte) {
	r := record{slot: slot, gen: gen}
	waited, pause := time.Duration(0), answerPauseFirst
	for {
		l.mu.Lock()
		if l.answers.put(r, msg, l.spare) {
			l.tally[FaultNone]++
			l.mu.Unlock()
			return
		}
		if waited >= answerWait {
			l.drops++
			l.mu.Unlock()
			l.Fail(slot, gen, FaultFull)
			return
		}
		l.answers.publish()
		l.mu.Unlock()
		l.wakeWorker()
		time.Sleep(pause)
		waited += pause
		pause = min(2*pause, answerPauseMax)
	}
}

// Fail queues f as the reply to (slot, gen); Publish shows it to the worker. It never waits: room for it is kept. Any goroutine.
func (l *Lane) Fail(slot, gen uint32, f Fault) {
	l.mu.Lock()
	if !l.answers.put(record{slot: slot, gen: gen, fault: f}, nil, 0) {
		l.mu.Unlock()
		panic("transport: more replies than queries were submitted")
	}
	l.tally[f]++
	l.mu.Unlock()
}

// Publish shows the worker all replies queued so far, and wakes it if it sleeps. Any goroutine.
func (l *Lane) Publish() {
	l.mu.Lock()
	fresh := l.answers.publish()
	l.mu.Unlock()
	if fresh {
		l.wakeWorker()
	}
}

// Up tells the endpoint's reporter that a connection works.
func (l *Lane) Up() {
	if l.end.Health != nil {
		l.end.Health.Up()
	}
}

// Down tells the endpoint's reporter that connections do not work. reason names the address and the cause.
func (l *Lane) Down(reason error) {
	if l.end.Health != nil {
		l.end.Health.Down(Advised(reason))
	}
}

// Notice tells of a change that is worth a line in a log.
func (l *Lane) Notice(event string, reason error) {
	if l.end.Notice != nil {
		l.end.Notice(event, reason)
	}
}
