package dot

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// hit is one matched frame of a read.
type hit struct {
	due     due
	from    int // message in the read buffer: [from:to)
	to      int
	verdict verdict
}

// read is the reader's goroutine: it answers every whole frame of each read, until the connection ends.
func (c *conn) read() {
	buf := make([]byte, readBytes)
	held := 0 // bytes of an unfinished frame at the start of buf
	for {
		n, err := c.stream.Read(buf[held:])
		if n > 0 {
			c.lane.Counters().BytesReceived.Add(uint64(n))
			used, fault := c.deliver(buf[:held+n], transport.Now())
			if fault != nil {
				c.lose(fault)
				return
			}
			held = copy(buf, buf[used:held+n])
			if held >= 2 && 2+int(binary.BigEndian.Uint16(buf)) > len(buf) {
				large := make([]byte, frameBytesMax)
				copy(large, buf[:held])
				buf = large
			}
		}
		if err != nil {
			if err == io.EOF && held > 0 {
				err = io.ErrUnexpectedEOF
			}
			c.lose(fmt.Errorf("read: %w", err))
			return
		}
	}
}

// deliver replies to the query of every whole frame in buf, publishes once, and returns how many bytes those frames took.
func (c *conn) deliver(buf []byte, now time.Duration) (used int, fault error) {
	var hits [hitsMax]hit
	for {
		n, first := 0, false
		c.mu.Lock()
		c.lastRead, c.lastUse = now, now
		for n < len(hits) && len(buf)-used >= 2 {
			from := used + 2
			to := from + int(binary.BigEndian.Uint16(buf[used:]))
			if to-from < 12 {
				fault = errFrame
				break
			}
			if to > len(buf) {
				break
			}
			h := &hits[n]
			h.from, h.to = from, to
			h.due, h.verdict = c.table.match(buf[from:to])
			if h.verdict == matched && !c.answered {
				c.answered, first = true, true
			}
			used = to
			n++
		}
		c.mu.Unlock()
		c.reply(buf, hits[:n])
		if first {
			c.lane.Endpoint().AddressWorked(c.address)
			if c.lane.Endpoint().FastOpen && transport.FastOpened(c.raw) {
				c.lane.Counters().FastOpened.Add(1)
			}
			c.lane.Up()
		}
		if n < len(hits) || fault != nil {
			c.lane.Publish()
			return used, fault
		}
	}
}

// reply queues what the hits say. The connection's lock is not held: the lane may make us wait.
func (c *conn) reply(buf []byte, hits []hit) {
	for i := range hits {
		h := &hits[i]
		switch h.verdict {
		case matched:
			if timeout, announced := wire.Keepalive(buf[h.from:h.to]); announced {
				c.announce(timeout)
			}
			c.lane.Answer(h.due.slot, h.due.gen, buf[h.from:h.to])
		case mismatched:
			c.lane.Counters().Mismatched.Add(1)
			c.lane.Fail(h.due.slot, h.due.gen, transport.FaultProtocol)
		case unmatched:
			c.lane.Counters().Unmatched.Add(1)
		}
	}
}
