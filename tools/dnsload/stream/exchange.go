package stream

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"secure-dns-proxy/tools/dnsload/pending"
)

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
