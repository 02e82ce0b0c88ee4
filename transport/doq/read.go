package doq

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
	"secure-dns-proxy/transport/wire"
)

// frameBytesMax is the largest message with its length.
const frameBytesMax = 2 + transport.MessageBytesMax

// complete is called by quic-go's loop when the server has ended the stream, or reset it: it must not block.
func (x *exchange) complete(size int64) {
	c := x.conn
	c.mu.Lock()
	x.size = size
	c.done = append(c.done, x)
	c.mu.Unlock()
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// read is the goroutine that takes the answers of streams that have ended.
func (c *conn) read() {
	buf := make([]byte, readBytes)
	var batch []*exchange
	for {
		select {
		case <-c.signal:
		case <-c.quic.Context().Done():
			return
		}
		for {
			c.mu.Lock()
			batch, c.done = c.done, batch[:0]
			c.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for i, x := range batch {
				batch[i] = nil
				buf = c.settle(x, buf)
			}
			c.refill()
			c.lane.Publish()
		}
	}
}

// settle finishes the call of one stream, if nobody did; buf is memory to use, which it returns, maybe more.
func (c *conn) settle(x *exchange, buf []byte) []byte {
	c.mu.Lock()
	call := c.take(x)
	c.mu.Unlock()
	if call == nil {
		return buf // cancelled, and read by nobody
	}
	if x.size > frameBytesMax {
		c.abandon(x)
		call.Finish(c.violate(errTrailing))
		return buf
	}
	if int(x.size) >= len(buf) {
		buf = make([]byte, frameBytesMax+1) // one more: room to see the end in the same call
	}
	x.stream.SetReadDeadline(time.Now().Add(gapWait))
	n, err := x.stream.Read(buf)
	if err == nil && n < int(x.size) || errors.Is(err, os.ErrDeadlineExceeded) {
		part := make([]byte, x.size)
		copy(part, buf[:n])
		c.group.Go(func() { c.settleSlowly(x, call, part, n) })
		return buf
	}
	if err == nil { // all of it, and the end is known
		err = io.EOF
	}
	c.finish(x, call, buf[:n], err)
	return buf
}

// settleSlowly waits for the rest of a message, after the first n bytes.
func (c *conn) settleSlowly(x *exchange, call *pool.Call, msg []byte, n int) {
	x.stream.SetReadDeadline(transport.Base.Add(call.Deadline))
	got, err := io.ReadFull(x.stream, msg[n:])
	if err == nil {
		err = io.EOF
	}
	c.finish(x, call, msg[:n+got], err)
	c.lane.Publish()
}

// finish gives call the framed message that its stream ended with, or what err stands for: io.EOF is the end of the stream.
func (c *conn) finish(x *exchange, call *pool.Call, frame []byte, err error) {
	if err != io.EOF {
		c.abandon(x)
		call.Finish(c.onStream(err))
		return
	}
	c.lane.Counters().BytesReceived.Add(uint64(len(frame)))
	if err := check(frame); err != nil {
		call.Finish(c.violate(err))
		return
	}
	call.Finish(pool.Result{Outcome: pool.Answered, Answer: frame[2:]})
}

// check looks for what RFC 9250 §4.3.3 calls a protocol error in all that a server sent on a stream.
func check(frame []byte) error {
	switch {
	case len(frame) < 2+12 || int(binary.BigEndian.Uint16(frame)) > len(frame)-2 || binary.BigEndian.Uint16(frame) < 12:
		return errLength
	case int(binary.BigEndian.Uint16(frame)) < len(frame)-2:
		return errTrailing
	case frame[2] != 0 || frame[3] != 0:
		return errID
	case wire.HasKeepalive(frame[2:]):
		return errKeepalive
	}
	return nil
}
