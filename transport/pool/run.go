package pool

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// driver is the state of one lane. Its own goroutine takes queries and watches connections; each query and each dial has another.
type driver struct {
	ctx      context.Context
	lane     *transport.Lane
	end      *transport.Endpoint
	protocol Protocol
	tick     time.Duration
	group    sync.WaitGroup // queries, dials, and those that wait for connections to end
	running  atomic.Int32   // queries
	jobs     sync.Pool      // of *job

	mu        sync.Mutex
	conns     []*conn  // that take queries, at most end.Conns
	dialing   *attempt // nil: none
	backoff   transport.Backoff
	wanted    bool // a query came while none could be taken: dial as soon as the back-off allows
	suspected bool // the last connection ended badly: only an answer counts as Up, not a handshake

	waiting map[uint64]*job // queries under way, by ticket; under mu
}

// job is one query and the buffers for it.
type job struct {
	slot, gen uint32
	ctx       context.Context
	cancel    context.CancelFunc
	end       int // of the question section in query
	size      int // of query
	framed    [2 + transport.QueryBytesMax]byte
	answer    []byte
}

func (j *job) query() []byte { return j.framed[2 : 2+j.size] }

// Run drives a lane with protocol until ctx ends. On return every goroutine and connection it had is gone, protocol is closed, and
// every query it took has a reply.
func Run(ctx context.Context, lane *transport.Lane, protocol Protocol) {
	end := lane.Endpoint()
	d := &driver{ctx: ctx, lane: lane, end: end, protocol: protocol, tick: min(max(end.DeadAfter/4, sweepMin), sweepMax)}
	d.waiting = make(map[uint64]*job)
	d.jobs.New = func() any { return &job{answer: make([]byte, 0, answerBytes)} }
	for ctx.Err() == nil {
		d.take()
		next := d.sweep(transport.Now())
		_ = lane.Wait(ctx, next) // the error is that of ctx, which the loop looks at
	}
	d.shutdown()
}

// take starts a goroutine for every query that is waiting, up to the limit.
func (d *driver) take() {
	now, failed := transport.Now(), false
	for r, ok := d.lane.Next(); ok; r, ok = d.lane.Next() {
		if r.Cancel {
			d.cancel(r.Slot, r.Gen)
			continue
		}
		end, valid := transport.QuestionEnd(r.Query)
		fault := transport.FaultNone
		switch {
		case !valid:
			fault = transport.FaultProtocol
		case now >= r.Deadline:
			fault = transport.FaultTimeout
		case d.running.Load() >= exchangesMax:
			fault = transport.FaultFull
		}
		if fault != transport.FaultNone {
			d.lane.Fail(r.Slot, r.Gen, fault)
			failed = true
			continue
		}
		j := d.jobs.Get().(*job)
		j.slot, j.gen, j.end, j.size = r.Slot, r.Gen, end, len(r.Query)
		binary.BigEndian.PutUint16(j.framed[:], uint16(j.size))
		copy(j.framed[2:], r.Query)
		j.framed[2], j.framed[3] = 0, 0 // id: RFC 9250 §4.2.1, RFC 8484 §4.1
		d.running.Add(1)
		d.group.Add(1)
		j.ctx, j.cancel = context.WithDeadline(d.ctx, transport.Base.Add(r.Deadline))
		d.mu.Lock()
		d.waiting[ticket(r.Slot, r.Gen)] = j
		d.mu.Unlock()
		go d.serve(j)
	}
	if failed {
		d.lane.Publish()
	}
}

// ticket names a query by its slot and generation.
func ticket(slot, gen uint32) uint64 { return uint64(slot)<<32 | uint64(gen) }

// cancel gives up a query that nobody waits for: its stream is reset, its reply is FaultTimeout.
func (d *driver) cancel(slot, gen uint32) {
	d.mu.Lock()
	j := d.waiting[ticket(slot, gen)]
	if j != nil {
		j.cancel() // under mu: the job is its query's until serve has taken it out
		d.lane.Counters().Cancelled.Add(1)
	}
	d.mu.Unlock()
}

// serve is the goroutine of one query.
func (d *driver) serve(j *job) {
	defer d.group.Done()
	fault := d.exchange(j.ctx, j)
	d.mu.Lock()
	if d.waiting[ticket(j.slot, j.gen)] == j {
		delete(d.waiting, ticket(j.slot, j.gen))
	}
	d.mu.Unlock()
	j.cancel()
	j.ctx, j.cancel = nil, nil
	if fault == transport.FaultNone {
		d.lane.Answer(j.slot, j.gen, j.answer)
	} else {
		d.lane.Fail(j.slot, j.gen, fault)
	}
	d.lane.Publish()
	if cap(j.answer) > answerKeepBytes {
		j.answer = make([]byte, 0, answerBytes)
	}
	d.jobs.Put(j)
	d.running.Add(-1)
}

// exchange leaves the answer in j, or returns why there is none. A query whose connection closed, or that the server
// refused unseen, is sent once more.
func (d *driver) exchange(ctx context.Context, j *job) transport.Fault {
	for again := false; ; again = true {
		c, fault := d.acquire(ctx)
		if fault != transport.FaultNone {
			if again && (fault == transport.FaultDial || fault == transport.FaultTLS) {
				return transport.FaultClosed // it had a connection
			}
			return fault
		}
		r := c.Exchange(ctx, j.framed[:2+j.size], j.answer[:0])
		good := r.Outcome == Answered && len(r.Answer) >= 12 && transport.Answers(j.query(), j.end, r.Answer)
		dead := d.release(c, r.Outcome, good)
		switch {
		case good:
			j.answer = r.Answer
			return transport.FaultNone
		case r.Outcome == Answered:
			d.lane.Counters().Mismatched.Add(1)
			return transport.FaultProtocol
		case d.ctx.Err() != nil:
			return transport.FaultShutdown
		case dead:
			return transport.FaultClosed
		case r.Outcome == Expired || ctx.Err() != nil:
			return transport.FaultTimeout
		case r.Outcome == Declined:
			return r.Fault
		case r.Outcome == Refused && again:
			return transport.FaultFull
		case r.Outcome == Lost || again:
			return transport.FaultClosed
		}
		d.lane.Counters().Retried.Add(1)
	}
}

// shutdown ends all connections, which ends all exchanges, and waits for them.
func (d *driver) shutdown() {
	d.mu.Lock()
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	d.group.Wait()
	d.protocol.Close()
}
