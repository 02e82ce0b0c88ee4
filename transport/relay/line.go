package relay

import (
	"context"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// Job is one message to be carried.
type Job struct {
	Message   []byte                // whole, 12 to 65535 bytes
	Endpoints []*transport.Endpoint // to be tried in this order
	Once      bool                  // it is sent to one of them at most
	Transfer  bool                  // there may be many messages in answer, as Extent says; none of Endpoints is https
	Extent    wire.Transfer
	Deadline  time.Duration // since transport.Base: for the answer, or for the first message of it
}

// Line joins one worker and the goroutines that carry its jobs.
type Line struct {
	_    [128]byte // no other worker's line, nor the adjacent one
	lane *transport.Lane
	Jobs [PlacesMax]Job // worker; see Job for whose each is
	_    [128]byte
}

// What is asked of a job, as the only byte of what a lane takes for a query.
const (
	begin = iota
	goOn
)

// NewLine returns a Line that nothing serves yet (Serve). wakeWorker is called as a lane's is. The caller owes it a Close.
func NewLine(wakeWorker func()) (*Line, error) {
	lane, err := transport.NewNamedLane("relay", wakeWorker, transport.LaneLimits{
		Outstanding: PlacesMax, QueryQueueBytes: queueBytes, AnswerQueueBytes: answerBytes,
	})
	if err != nil {
		return nil, err
	}
	return &Line{lane: lane}, nil
}

// Serve has goroutines carry the jobs until the Line is closed. Once only.
func (l *Line) Serve() { l.lane.Start(l.serve) }

// Close ends all jobs; see transport.Lane.Close.
func (l *Line) Close(ctx context.Context) error { return l.lane.Close(ctx) }

// Start has the job of a place carried out; gen comes back in its replies. Worker only, as all below.
func (l *Line) Start(place, gen uint32) bool {
	return l.lane.Submit(place, gen, l.Jobs[place].Deadline, []byte{begin})
}

// More asks for the next message of a transfer, after one has come.
func (l *Line) More(place, gen uint32) bool {
	return l.lane.Submit(place, gen, 0, []byte{goOn})
}

// Stop ends a job early. If a Reply is owed, it still comes.
func (l *Line) Stop(place, gen uint32) { l.lane.Cancel(place, gen, false) }

// Flush shows the goroutines everything since the last Flush. Once a turn.
func (l *Line) Flush() { l.lane.Flush() }

// Reply is what came of a Start or a More. With a Fault the job is over; so it is with any Reply of a job that is no transfer, and with an empty Msg of
// one that is.
type Reply struct {
	Place, Gen uint32
	Fault      transport.Fault
	Msg        []byte // with the id of the request; valid until the next Receive
}

// Receive returns the next reply.
func (l *Line) Receive() (Reply, bool) {
	r, ok := l.lane.Receive()
	return Reply{Place: r.Slot, Gen: r.Gen, Fault: r.Fault, Msg: r.Msg}, ok
}

// Pending reports whether there is anything to Receive: one atomic load.
func (l *Line) Pending() bool { return l.lane.Pending() }

// Asked is what the worker wants of a place: that its job begins, that it goes on, or that it stops.
type Asked struct {
	Place, Gen  uint32
	Begin, Stop bool
}

// Next returns the next wish. Give and Fail queue a Reply; Publish shows what is queued. They are for whoever serves the Line: Next for one goroutine, the others for any.
func (l *Line) Next() (Asked, bool) {
	r, ok := l.lane.Next()
	return Asked{Place: r.Slot, Gen: r.Gen, Begin: ok && !r.Cancel && r.Query[0] == begin, Stop: r.Cancel}, ok
}

// Give: see Next. msg may be empty.
func (l *Line) Give(place, gen uint32, msg []byte) { l.lane.Answer(place, gen, msg) }

// Fail: see Next.
func (l *Line) Fail(place, gen uint32, f transport.Fault) { l.lane.Fail(place, gen, f) }

// Publish: see Next.
func (l *Line) Publish() { l.lane.Publish() }
