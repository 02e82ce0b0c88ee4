package tier

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// Line joins one worker and a Store. Ask, Draft, Fill, Flush, Receive and Pending are the worker's; the driver has the rest, but for Close.
type Line struct {
	_     [128]byte // no other worker's line, nor the adjacent one
	lane  *transport.Lane
	fills *transport.Queue

	// worker
	question [transport.QueryBytesMax]byte
	fill     []byte // room for one
	draft    []byte // of fill
	draftAt  time.Duration
	_        [128]byte
}

// LineLimits bounds the memory of a Line.
type LineLimits struct {
	FillBytes       int // of answers that wait to be stored, FillBytesMin to FillBytesMax; made a power of two
	MessageBytesMax int // of one answer, MessageBytesMin to ValueBytesLimit
}

// A fill: TTL in seconds (4 bytes), length of the id (2 bytes), id, message.
const fillHeader = 6

// NewLine returns a Line that nothing serves yet (Store.Serve). wakeWorker is called as a lane's is. The caller owes it a Close.
func NewLine(wakeWorker func(), limits LineLimits) (*Line, error) {
	if limits.MessageBytesMax < MessageBytesMin || limits.MessageBytesMax > ValueBytesLimit ||
		limits.FillBytes < FillBytesMin || limits.FillBytes > FillBytesMax {
		return nil, fmt.Errorf("line: messages of %d bytes, %d bytes to be stored: out of range", limits.MessageBytesMax, limits.FillBytes)
	}
	lane, err := transport.NewNamedLane("cache.remote", wakeWorker, transport.LaneLimits{
		Outstanding: asksMax, QueryQueueBytes: asksMax * transport.QueryBytesMax / 2, AnswerQueueBytes: lineAnswerBytes,
	})
	if err != nil {
		return nil, err
	}
	size := FillBytesMin
	for size < limits.FillBytes {
		size *= 2
	}
	fills, err := transport.NewQueue(size)
	if err != nil {
		return nil, fmt.Errorf("line: %w", err) // never: size is a power of two; the lane has started nothing yet
	}
	return &Line{lane: lane, fills: fills, fill: make([]byte, fillHeader+transport.QueryBytesMax+limits.MessageBytesMax)}, nil
}

// Close ends the driver; see transport.Lane.Close. What waits to be stored is dropped.
func (l *Line) Close(ctx context.Context) error { return l.lane.Close(ctx) }

// Ask asks what the tier holds for key, of the pool of that name. deadline is a time since transport.Base after which nobody needs to be
// troubled any more. One Reply with slot and gen follows. False, and none does: too many under way. Worker only; no allocation.
func (l *Line) Ask(slot, gen uint32, deadline time.Duration, pool string, key []byte) bool {
	return l.lane.Submit(slot, gen, deadline, appendID(l.question[:0], pool, key))
}

// Draft gets ready to store a for key, of the pool of that name: an answer that came at a time since transport.Base and is good for a.TTL seconds, which is not 0. It
// comes in place of an earlier draft; Fill stores it. False: the answer is too long or has an rcode that is not stored. Worker only; no
// allocation.
func (l *Line) Draft(at time.Duration, pool string, key []byte, a *wire.Answer) bool {
	id := appendID(l.fill[fillHeader:fillHeader], pool, key)
	body := fillHeader + len(id)
	n := wire.WriteMessage(l.fill[body:len(l.fill)-transport.QueryBytesMax+len(id)], key, a)
	binary.BigEndian.PutUint32(l.fill, min(a.TTL, ttlMax))
	binary.BigEndian.PutUint16(l.fill[4:], uint16(len(id)))
	l.draft, l.draftAt = l.fill[:body+n], at
	return n != 0
}

// Fill stores what Draft, which said true, has made ready. False: there is no room. Worker only; no allocation.
func (l *Line) Fill() bool { return l.fills.Put(l.draftAt, l.draft) }

// Flush shows the driver everything since the last Flush, and wakes it if it sleeps. Once a turn. Worker only.
func (l *Line) Flush() {
	l.lane.Flush()
	if l.fills.Publish() {
		l.lane.Notify()
	}
}

// Reply is what became of one Ask.
type Reply struct {
	Slot, Gen uint32
	Fault     transport.Fault // FaultNone: the tier answered
	Msg       []byte          // empty: it holds nothing. Else a message, of which only TTLs have been looked at
}

// Receive returns the next reply. Msg may be modified and is valid until the next call. Worker only; no allocation.
func (l *Line) Receive() (Reply, bool) {
	r, ok := l.lane.Receive()
	return Reply(r), ok
}

// Pending reports whether there is anything to Receive: one atomic load. Worker only.
func (l *Line) Pending() bool { return l.lane.Pending() }

// Question is one Ask as the driver sees it. ID is valid until the next call.
type Question struct {
	Slot, Gen uint32
	Deadline  time.Duration // since transport.Base
	ID        []byte
}

// NextQuestion returns the next one asked. Driver only.
func (l *Line) NextQuestion() (Question, bool) {
	r, ok := l.lane.Next()
	return Question{Slot: r.Slot, Gen: r.Gen, Deadline: r.Deadline, ID: r.Query}, ok
}

// Found queues msg, empty for nothing, as the reply to a question; Failed queues a fault. Publish shows the worker what is queued. Driver only, any
// goroutine.
func (l *Line) Found(slot, gen uint32, msg []byte) { l.lane.Answer(slot, gen, msg) }

// Failed: see Found.
func (l *Line) Failed(slot, gen uint32, f transport.Fault) { l.lane.Fail(slot, gen, f) }

// Publish: see Found.
func (l *Line) Publish() { l.lane.Publish() }

// Stored is one Fill as the driver sees it. ID and Msg are valid until the next call.
type Stored struct {
	At      time.Duration // since transport.Base
	TTL     uint32        // seconds from then on
	ID, Msg []byte
}

// NextFill returns the next answer to be stored. Driver only.
func (l *Line) NextFill() (Stored, bool) {
	at, data, ok := l.fills.Take()
	if !ok {
		return Stored{}, false
	}
	body := fillHeader + int(binary.BigEndian.Uint16(data[4:]))
	return Stored{At: at, TTL: binary.BigEndian.Uint32(data), ID: data[fillHeader:body], Msg: data[body:]}, true
}
