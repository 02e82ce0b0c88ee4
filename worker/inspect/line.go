package inspect

import (
	"context"
	"encoding/binary"
	"time"

	"secure-dns-proxy/transport"
)

// Line joins one worker and a Host. Ask, Flush, Receive and Pending are the worker's; the driver has Next, Give, Fail and Publish.
type Line struct {
	_    [128]byte // no other worker's line, nor the adjacent one
	lane *transport.Lane

	question [QuestionBytesMax]byte // worker
	_        [128]byte
}

// NewLine returns a Line that nothing serves yet (Host.Serve). wakeWorker is called as a lane's is. The caller owes it a Close.
func NewLine(wakeWorker func()) (*Line, error) {
	lane, err := transport.NewNamedLane("inspect", wakeWorker, transport.LaneLimits{
		Outstanding: asksMax, QueryBytes: QuestionBytesMax, QueryQueueBytes: lineAskBytes, AnswerQueueBytes: lineAnswerBytes,
	})
	if err != nil {
		return nil, err
	}
	return &Line{lane: lane}, nil
}

// Close ends the driver; see transport.Lane.Close.
func (l *Line) Close(ctx context.Context) error { return l.lane.Close(ctx) }

// Ask wants a verdict on q until deadline, a time since transport.Base. One Reply with slot and gen follows. False, and none does: too many under way. Worker only;
// no allocation.
func (l *Line) Ask(slot, gen uint32, deadline time.Duration, q *Question) bool {
	return l.lane.Submit(slot, gen, deadline, q.Append(l.question[:0]))
}

// Flush shows the driver everything since the last Flush, and wakes it if it sleeps. Once a turn. Worker only.
func (l *Line) Flush() { l.lane.Flush() }

// Reply is what became of one Ask.
type Reply struct {
	Slot, Gen uint32
	Decided   bool // else there is no verdict
	Verdict   Verdict
	Epoch     uint32 // that the verdict is of
}

// Receive returns the next reply. Worker only; no allocation.
func (l *Line) Receive() (Reply, bool) {
	r, ok := l.lane.Receive()
	if !ok {
		return Reply{}, false
	}
	reply := Reply{Slot: r.Slot, Gen: r.Gen}
	if r.Fault == transport.FaultNone && len(r.Msg) == verdictBytes {
		reply.Verdict, reply.Decided = decode(binary.LittleEndian.Uint64(r.Msg)), true
		reply.Epoch = binary.LittleEndian.Uint32(r.Msg[8:])
	}
	return reply, true
}

// Pending reports whether there is anything to Receive: one atomic load. Worker only.
func (l *Line) Pending() bool { return l.lane.Pending() }

// Asked is one Ask as the driver sees it. Raw is an encoded question, valid until the next call.
type Asked struct {
	Slot, Gen uint32
	Deadline  time.Duration // since transport.Base
	Raw       []byte
}

// Next returns the next one. Driver only.
func (l *Line) Next() (Asked, bool) {
	r, ok := l.lane.Next()
	return Asked{Slot: r.Slot, Gen: r.Gen, Deadline: r.Deadline, Raw: r.Query}, ok
}

// verdictBytes is a verdict's word and its epoch.
const verdictBytes = 8 + 4

// Give queues a valid verdict of an epoch as the reply to a question; Fail queues that there is none. Publish shows the worker what is queued. Driver only.
func (l *Line) Give(slot, gen uint32, v Verdict, epoch uint32) {
	var msg [verdictBytes]byte
	binary.LittleEndian.PutUint64(msg[:], v.word())
	binary.LittleEndian.PutUint32(msg[8:], epoch)
	l.lane.Answer(slot, gen, msg[:])
}

// Fail: see Give.
func (l *Line) Fail(slot, gen uint32, f transport.Fault) { l.lane.Fail(slot, gen, f) }

// Publish: see Give.
func (l *Line) Publish() { l.lane.Publish() }
