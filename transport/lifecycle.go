package transport

import (
	"context"
	"fmt"
	"sync"
)

// lifecycle is the part of a lane that its owner, neither worker nor driver, deals with.
type lifecycle struct {
	mu       sync.Mutex
	stop     context.CancelFunc // nil: not started
	done     chan struct{}      // closed once the driver has returned and the eventfd is closed
	closeErr error              // of the eventfd; read after done
}

// Start runs a driver for the lane on a goroutine of its own. run returns once its ctx has ended and it has released everything,
// with a reply queued for every query that it took. Once only.
func (l *Lane) Start(run func(ctx context.Context, l *Lane)) {
	c := &l.lifecycle
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		panic("transport: lane started twice, or after Close")
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.done = stop, make(chan struct{})
	go func() {
		run(ctx, l)
		l.finish()
	}()
}

// Close stops the driver. Queries that have no reply yet get FaultShutdown, and can be received afterwards. It returns once the
// driver has released all it held, or when ctx ends: then the rest goes on without the caller. The worker has stopped submitting
// before (the lane is no longer in its snapshot, or the worker has ended); receiving and flushing stay safe. Later calls wait too.
func (l *Lane) Close(ctx context.Context) error {
	c := &l.lifecycle
	c.mu.Lock()
	switch {
	case c.done == nil:
		c.done = make(chan struct{})
		l.finish()
	case c.stop != nil:
		c.stop()
	}
	c.mu.Unlock()
	select {
	case <-c.done:
		return c.closeErr
	case <-ctx.Done():
		return fmt.Errorf("lane %s: close: %w", l.end.Name, ctx.Err())
	}
}

// finish replies to the queries that no driver took, and closes the eventfd.
func (l *Lane) finish() {
	for r, ok := l.Next(); ok; r, ok = l.Next() {
		if !r.Cancel {
			l.Fail(r.Slot, r.Gen, FaultShutdown)
		}
	}
	l.Publish()
	l.lifecycle.closeErr = l.bell.close()
	close(l.lifecycle.done)
}
