package inspect

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"secure-dns-proxy/transport"
)

// Serve runs the driver of a line until that is closed. Once only for each line.
func (h *Host) Serve(l *Line) {
	l.lane.Start(func(ctx context.Context, lane *transport.Lane) {
		d := driver{host: h, line: l}
		for lane.Wait(ctx, 0) == nil {
			for ctx.Err() == nil && d.step(ctx) {
			}
		}
		d.leave()
	})
}

// driver is the goroutine of a line.
type driver struct {
	host      *Host
	line      *Line
	seen      *generation // in use at the last look
	from      *generation // of inspector; nil: none
	inspector Inspector
	question  Question

	failures int           // in a row
	rest     time.Duration // since transport.Base: when it ends; 0: it does not rest
}

// step decides on one question, and reports whether there was one.
func (d *driver) step(ctx context.Context) bool {
	asked, ok := d.line.Next()
	if !ok {
		return false
	}
	defer d.line.Publish()
	figures := &d.host.figures
	epoch := d.host.epoch.Load() // first: it is never newer than the inspector
	d.follow()
	now := transport.Now()
	switch {
	case asked.Deadline <= now:
		figures.expired.Add(1)
		d.line.Fail(asked.Slot, asked.Gen, transport.FaultTimeout)
		return true
	case d.rest > now:
		figures.rested.Add(1)
		d.line.Fail(asked.Slot, asked.Gen, transport.FaultFull)
		return true
	}
	v, err := d.decide(ctx, &asked, asked.Deadline-now)
	if err != nil {
		d.host.report(err)
		if d.failures++; d.failures >= failuresMax {
			figures.rests.Add(1)
			d.failures, d.rest = 0, transport.Now()+restTime
		}
		d.line.Fail(asked.Slot, asked.Gen, transport.FaultProtocol)
		return true
	}
	d.failures = 0
	d.line.Give(asked.Slot, asked.Gen, v, epoch)
	return true
}

// follow lets go of an inspector that is not the one in use any more. A new one does not rest because that did.
func (d *driver) follow() {
	if now := d.host.current.Load(); now != d.seen {
		d.leave()
		d.seen, d.failures, d.rest = now, 0, 0
	}
}

func (d *driver) leave() {
	if d.inspector != nil {
		d.inspector.Close()
		d.from.release()
	}
	d.inspector, d.from = nil, nil
}

// open makes an inspector, if there is none.
func (d *driver) open() error {
	if d.inspector != nil {
		return nil
	}
	g := d.seen
	if g == nil || !g.use() { // closed, or replaced this moment
		return errGone
	}
	inspector, err := g.source.Open()
	if err != nil {
		g.release()
		return err
	}
	d.from, d.inspector = g, inspector
	return nil
}

// decide asks the inspector. A panic of it becomes an error.
func (d *driver) decide(ctx context.Context, asked *Asked, budget time.Duration) (v Verdict, err error) {
	figures := &d.host.figures
	defer func() {
		if p := recover(); p != nil {
			figures.panicked.Add(1)
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := d.open(); err != nil {
		figures.unopened.Add(1)
		return Verdict{}, err
	}
	if !d.question.Parse(asked.Raw) {
		panic("inspect: a question that the worker did not encode")
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if v, err = d.inspector.Inspect(ctx, &d.question); err == nil && !v.Valid(d.question.Point) {
		err = fmt.Errorf("verdict %+v is none", v)
	}
	if err != nil {
		figures.failed.Add(1)
	}
	return v, err
}
