package relay

import (
	"context"
	"sync"

	"secure-dns-proxy/transport"
)

// task is a job that is being carried out.
type task struct {
	line       *Line
	place, gen uint32
	cancel     context.CancelFunc
	more       chan struct{} // has room for one; of a transfer: the worker wants a message
}

// serve hands out what the worker asks for, until ctx ends.
func (l *Line) serve(ctx context.Context, lane *transport.Lane) {
	var tasks [PlacesMax]*task
	var running sync.WaitGroup
	for lane.Wait(ctx, 0) == nil {
		for asked, ok := l.Next(); ok; asked, ok = l.Next() {
			t := tasks[asked.Place]
			switch {
			case asked.Stop:
				if t != nil && t.gen == asked.Gen {
					t.cancel()
				}
			case asked.Begin:
				t = &task{line: l, place: asked.Place, gen: asked.Gen, more: make(chan struct{}, 1)}
				var own context.Context
				own, t.cancel = context.WithCancel(ctx)
				tasks[asked.Place] = t
				running.Go(func() {
					defer t.cancel()
					t.run(own)
				})
			default:
				t.more <- struct{}{} // one Reply is owed at a time: there is room
			}
		}
	}
	running.Wait() // their context is a part of ctx
}

// run carries out the job.
func (t *task) run(ctx context.Context) {
	job := &t.line.Jobs[t.place]
	if job.Transfer {
		t.transfer(ctx, job)
	} else {
		msg, fault := exchange(ctx, job)
		t.reply(msg, fault)
	}
}

// reply queues what the worker is owed, and shows it. The job may be the worker's again from here on.
func (t *task) reply(msg []byte, fault transport.Fault) {
	if fault != transport.FaultNone {
		t.line.Fail(t.place, t.gen, fault)
	} else {
		t.line.Give(t.place, t.gen, msg)
	}
	t.line.Publish()
}
