package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"secure-dns-proxy/tools/dnsload/pace"
	"secure-dns-proxy/tools/dnsload/pending"
	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/tally"
)

// conn is one place for a connection, which outlives those that are lost.
type conn struct {
	pool      *Pool
	index     int
	plan      pace.Plan
	generator *query.Generator
	wake      chan struct{} // to the writer: look whether something is due
	out       []byte        // the writer's

	lock     sync.Mutex // guards what follows
	socket   net.Conn   // nil while there is none
	table    *pending.Table
	counts   tally.Counts
	due      uint64 // open loop: index of the next query to send
	over     bool   // no more queries will be sent
	sent     uint64 // in all, for show
	answered uint64
	lost     uint64
}

// dial opens the connection; with TLS the handshake is done too.
func (c *conn) dial(ctx context.Context) error {
	cfg := &c.pool.cfg
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	if n := len(cfg.Sources); n > 0 {
		d.LocalAddr = &net.TCPAddr{IP: cfg.Sources[c.index%n].AsSlice()}
	}
	socket, err := d.DialContext(ctx, "tcp", cfg.Target.String())
	if err != nil {
		return err
	}
	if cfg.TLS != nil {
		secured := tls.Client(socket, cfg.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = socket.Close() // the handshake's error is the one to report
			return fmt.Errorf("handshake with %v: %w", cfg.Target, err)
		}
		socket = secured
	}
	c.lock.Lock()
	c.socket = socket
	c.lock.Unlock()
	return nil
}

// hangUp closes the socket, if there is one. What it was doing fails.
func (c *conn) hangUp() {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.socket != nil {
		_ = c.socket.Close() // the peer may have been first
		c.socket = nil
	}
}

// run keeps a connection until all is sent and answered or lost.
func (c *conn) run(ctx context.Context) error {
	for {
		c.lock.Lock()
		socket := c.socket
		c.lock.Unlock()
		if socket != nil {
			c.serve(ctx, socket)
		}
		if c.disconnected() || ctx.Err() != nil {
			return nil
		}
		if err := c.redial(ctx); err != nil {
			return err
		}
	}
}

// serve reads and writes until the connection fails or is closed.
func (c *conn) serve(ctx context.Context, socket net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		c.write(ctx, socket)
	})
	c.read(socket)
	cancel()
	c.hangUp()
	writer.Wait()
}

// disconnected gives up what was outstanding, and tells whether that was all.
func (c *conn) disconnected() bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.giveUp(math.MaxInt64)
	if !c.over {
		c.counts.Reconnects++
	}
	return c.over
}

// redial opens the connection again; it gives up after dialsMax failures.
func (c *conn) redial(ctx context.Context) error {
	var err error
	for range dialsMax {
		if err = c.dial(ctx); err == nil {
			c.signal()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(dialPause):
		}
	}
	return fmt.Errorf("connection lost, and %d attempts to open it again failed: %w", dialsMax, err)
}

// signal has the writer look for due queries; it never blocks.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// read judges answers until the connection ends.
func (c *conn) read(socket net.Conn) {
	buffer := make([]byte, readBytes)
	filled := 0
	for {
		n, err := socket.Read(buffer[filled:])
		if err != nil {
			return
		}
		filled += n
		used, done := c.judge(buffer[:filled])
		if done {
			return
		}
		filled = copy(buffer, buffer[used:filled])
	}
}

// judge takes the complete messages in data and returns how many bytes they are, and whether nothing more is to come.
func (c *conn) judge(data []byte) (used int, done bool) {
	now := c.pool.clock.Now()
	c.lock.Lock()
	defer c.lock.Unlock()
	for len(data)-used >= 2 {
		end := used + 2 + int(binary.BigEndian.Uint16(data[used:]))
		if end > len(data) {
			break
		}
		c.account(data[used+2:end], now)
		used = end
	}
	if c.plan.Rate == 0 && !c.over {
		c.signal()
	}
	return used, c.over && c.table.Len() == 0
}

func (c *conn) account(msg []byte, now int64) {
	verdict, at := c.table.Judge(msg)
	if verdict != pending.Answer {
		if c.plan.Measured(now) {
			c.counts.Verdicts[verdict]++
		}
		return
	}
	c.answered++
	if c.plan.Measured(at) {
		c.counts.Verdicts[verdict]++
		c.counts.Answer(msg, now-at)
		c.counts.LastNs = now
	}
}

// write sends what is due whenever it is woken, until ctx ends or the connection fails.
func (c *conn) write(ctx context.Context, socket net.Conn) {
	patience := max(c.plan.Timeout, writeTimeoutMin)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for c.compose() {
			err := socket.SetWriteDeadline(time.Now().Add(patience))
			if err == nil {
				_, err = socket.Write(c.out)
			}
			if err != nil {
				_ = socket.Close() // the reader notices, and ends the connection
				return
			}
		}
	}
}

// compose fills out with what is due, at most writeQueries, and tells whether that was anything.
func (c *conn) compose() bool {
	now := c.pool.clock.Now()
	c.out = c.out[:0]
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.over {
		return false
	}
	if c.pool.stopped.Load() {
		c.finish()
		return false
	}
	if c.plan.Rate > 0 {
		c.composeDue(now)
	} else {
		c.composeRoom(now)
	}
	return len(c.out) > 0
}

// composeRoom fills the window. Closed loop.
func (c *conn) composeRoom(now int64) {
	if now >= c.plan.To {
		c.finish()
		return
	}
	for range min(c.table.Room(), writeQueries) {
		if !c.add(now, now) {
			return
		}
	}
}

// composeDue takes what the timetable says, as far as there is room. Open loop.
func (c *conn) composeDue(now int64) {
	due := c.plan.Due(min(now, c.plan.To-1))
	for range min(due-c.due, uint64(c.table.Room()), writeQueries) {
		at := c.plan.At(c.due)
		if !c.add(at, now) {
			return
		}
		c.due++
		if c.plan.Measured(at) {
			c.counts.Lag.Record(now - at)
		}
	}
	if now >= c.plan.To && (c.due == due || c.table.Room() == 0) {
		c.counts.Unsent = min(due-c.due, c.plan.Scheduled())
		c.finish()
	}
}

// add composes the next query; false: there is none.
func (c *conn) add(at, now int64) bool {
	measured := c.plan.Measured(at)
	if measured && c.plan.Count > 0 && c.counts.Queries == c.plan.Count {
		c.finish()
		return false
	}
	packet := c.table.Compose(c.generator, at, now)
	if packet == nil {
		c.finish()
		return false
	}
	c.out = binary.BigEndian.AppendUint16(c.out, uint16(len(packet)))
	c.out = append(c.out, packet...)
	c.sent++
	if measured {
		c.counts.Queries++
		c.counts.LastNs = now
	}
	return true
}

// finish: no more queries. The lock is held.
func (c *conn) finish() {
	if !c.over {
		c.over = true
		c.pool.over()
	}
}

// expire gives up queries that took too long, wakes the writer where it has something to do, and hangs up at the end.
func (c *conn) expire(now int64) {
	c.lock.Lock()
	defer c.lock.Unlock()
	lost := c.giveUp(now - int64(c.plan.Timeout))
	switch {
	case c.over && c.table.Len() == 0:
		if c.socket != nil {
			_ = c.socket.Close() // wakes the reader; it hangs up
		}
	case c.over:
	case lost > 0 || now >= c.plan.To || c.pool.stopped.Load():
		c.signal()
	}
}

// abandon ends the connection at once, its queries unanswered: the run has failed.
func (c *conn) abandon() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.finish()
	if c.socket != nil {
		_ = c.socket.Close()
	}
}

// giveUp counts the queries that were sent before the given time as lost. The lock is held.
func (c *conn) giveUp(before int64) int {
	all, counted := c.table.Expire(before, c.plan.From)
	c.lost += uint64(all)
	c.counts.Lost += uint64(counted)
	if counted > 0 {
		c.counts.LastNs = c.pool.clock.Now()
	}
	return all
}
