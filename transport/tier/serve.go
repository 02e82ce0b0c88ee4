package tier

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// Serve runs the driver of a line until that is closed. Once only for each line.
func (s *Store) Serve(l *Line) {
	l.lane.Start(func(ctx context.Context, _ *transport.Lane) { serve(ctx, s, l) })
}

// driver moves what is in the queues of a line to a few goroutines that wait for the servers.
type driver struct {
	store *Store
	line  *Line
	ctx   context.Context

	askFree, askWork   chan *askCall // all askCalls are in one, or with their goroutine
	fillFree, fillWork chan *fillCall
	starved            atomic.Bool // a queue holds something and no call was free
	group              sync.WaitGroup
}

// askCall is some questions that are asked together.
type askCall struct {
	questions []question
	names     []string
	scratch   []byte // all ids, one after the other
}

type question struct {
	slot, gen uint32
	id        []byte // in scratch
}

// fillCall is some answers that are stored together.
type fillCall struct{ items []item }

func serve(ctx context.Context, s *Store, l *Line) {
	d := &driver{
		store: s, line: l, ctx: ctx,
		askFree: make(chan *askCall, askCalls), askWork: make(chan *askCall, askCalls),
		fillFree: make(chan *fillCall, fillCalls), fillWork: make(chan *fillCall, fillCalls),
	}
	for range askCalls {
		d.askFree <- &askCall{scratch: make([]byte, 0, askBatch*transport.QueryBytesMax)} // never grows: ids point into it
		d.group.Go(d.asker)
	}
	for range fillCalls {
		d.fillFree <- new(fillCall)
		d.group.Go(d.filler)
	}
	for d.move() == nil {
	}
	close(d.askWork)
	close(d.fillWork)
	d.group.Wait()
}

// move hands out what there is and waits for more; the error is that of the context.
func (d *driver) move() error {
	left := d.moveQuestions()
	d.moveFills()
	d.line.Publish()
	if !left {
		return d.line.lane.Wait(d.ctx, 0)
	}
	d.starved.Store(true)
	if len(d.askFree) > 0 && d.starved.Swap(false) {
		return d.ctx.Err() // one was given back meanwhile
	}
	return d.line.lane.Nap(d.ctx, 0)
}

// moveQuestions reports whether there may be questions that no goroutine is free for.
func (d *driver) moveQuestions() (left bool) {
	for {
		select {
		case c := <-d.askFree:
			d.collect(c)
			if len(c.questions) == 0 {
				d.askFree <- c
				return false
			}
			d.askWork <- c
		default:
			return true
		}
	}
}

// collect fills c from the queue. Questions whose time is over while they waited are not asked.
func (d *driver) collect(c *askCall) {
	c.questions, c.names, c.scratch = c.questions[:0], c.names[:0], c.scratch[:0]
	ready := d.store.client.Load() != nil
	for len(c.questions) < askBatch {
		q, ok := d.line.NextQuestion()
		if !ok {
			return
		}
		switch {
		case !ready:
			d.line.Failed(q.Slot, q.Gen, transport.FaultDial)
		case q.Deadline <= transport.Now():
			d.line.Failed(q.Slot, q.Gen, transport.FaultTimeout)
		default:
			start := len(c.scratch)
			c.scratch = append(c.scratch, q.ID...)
			c.questions = append(c.questions, question{q.Slot, q.Gen, c.scratch[start:]})
			c.names = append(c.names, nameOf(d.store.cfg.Prefix, q.ID))
		}
	}
}

// moveFills hands out what is to be stored; while no goroutine is free it stays in the queue.
func (d *driver) moveFills() {
	for {
		select {
		case c := <-d.fillFree:
			c.items = c.items[:0]
			for len(c.items) < fillBatch {
				f, ok := d.line.NextFill()
				if !ok {
					break
				}
				stored := time.Now().Add(f.At - transport.Now())
				c.items = append(c.items, item{
					name:  nameOf(d.store.cfg.Prefix, f.ID),
					value: AppendValue(make([]byte, 0, valueHeader+len(f.ID)+len(f.Msg)), stored.UnixMilli(), f.TTL, f.ID, f.Msg),
					ttl:   time.Duration(f.TTL) * time.Second,
				})
			}
			if len(c.items) == 0 {
				d.fillFree <- c
				return
			}
			d.fillWork <- c
		default:
			return
		}
	}
}

// asker is a goroutine that carries out calls.
func (d *driver) asker() {
	scratch := make([]byte, 0, valueHeader+transport.QueryBytesMax+d.store.cfg.MessageBytesMax)
	for c := range d.askWork {
		d.ask(c, scratch)
		d.line.Publish()
		d.askFree <- c
		if d.starved.Swap(false) {
			d.line.lane.Notify()
		}
	}
}

func (d *driver) ask(c *askCall, scratch []byte) {
	s := d.store
	client := s.client.Load()
	if client == nil { // closed
		for _, q := range c.questions {
			d.line.Failed(q.slot, q.gen, transport.FaultShutdown)
		}
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, 2*s.cfg.Timeout)
	defer cancel()
	s.stats.asks.Add(uint64(len(c.questions)))
	client.get(ctx, c.names, func(i int, value []byte, err error) {
		q := &c.questions[i]
		switch {
		case err != nil:
			s.stats.getErrors.Add(1)
			s.failed(err)
			d.line.Failed(q.slot, q.gen, faultOf(err))
		case len(value) == 0:
			d.line.Found(q.slot, q.gen, nil)
		default:
			d.judge(q, append(scratch[:0], value[:min(len(value), cap(scratch))]...))
		}
	})
}

// judge replies with what a value is worth.
func (d *driver) judge(q *question, value []byte) {
	msg, v := ParseValue(value, q.id, time.Now().UnixMilli())
	switch {
	case v == Good && d.store.forgotten.holds(value, q.id):
		d.store.stats.forgotten.Add(1)
		d.line.Found(q.slot, q.gen, nil)
	case v == Good:
		d.line.Found(q.slot, q.gen, msg)
	case v == Expired:
		d.store.stats.expired.Add(1)
		d.line.Found(q.slot, q.gen, nil)
	default:
		d.store.stats.broken.Add(1)
		d.line.Found(q.slot, q.gen, nil) // the server is well, and what it holds will be replaced
	}
}

// filler is a goroutine that stores.
func (d *driver) filler() {
	for c := range d.fillWork {
		if client := d.store.client.Load(); client != nil {
			d.fill(client, c)
		} else {
			d.store.stats.setErrors.Add(uint64(len(c.items)))
		}
		clear(c.items)
		d.fillFree <- c
		d.line.lane.Notify() // more may wait
	}
}

func (d *driver) fill(client client, c *fillCall) {
	s := d.store
	ctx, cancel := context.WithTimeout(d.ctx, 2*s.cfg.Timeout)
	defer cancel()
	client.set(ctx, c.items, func(err error) {
		if err == nil {
			s.stats.stored.Add(1)
			s.refused.Store(0)
			return
		}
		s.stats.setErrors.Add(1)
		s.failed(err)
		if s.refused.Load() < fillFailuresMax {
			s.refused.Add(1)
		}
	})
}
