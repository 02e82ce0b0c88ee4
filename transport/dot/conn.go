package dot

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// conn is one connection: its table, the batch being gathered, and the goroutines that read and write.
type conn struct {
	lane    *transport.Lane
	address netip.AddrPort
	stream  net.Conn // *tls.Conn or *net.TCPConn
	raw     net.Conn // the TCP connection below
	place   transport.Place
	opened  time.Duration
	share   transport.Quota

	mu      sync.Mutex
	work    sync.Cond // the writer waits for: out not empty, or closing
	table   table
	out     []byte // frames gathered, not yet being written
	starved bool   // the driver had more than out could take: tell it when there is room

	writeSince time.Duration // since Base, when the write under way began; 0: none is
	waitSince  time.Duration // when the table was last empty
	lastRead   time.Duration
	lastUse    time.Duration // last query or answer
	answered   bool          // at least one good answer
	taken      int           // queries so far
	announced  bool          // the server has told its idle timeout
	theirs     time.Duration // that timeout
	closing    bool          // the driver is done with it
	polite     bool          // closing: nothing is outstanding, say goodbye
	lost       error         // why it can be used no longer; set once

	// The driver's own.
	seen    int                  // of taken, when last looked at
	overdue bool                 // it has done its share
	reason  transport.Retirement // then: which
}

var (
	errDead  = errors.New("no answer")                       // DeadAfter
	errFrame = errors.New("frame shorter than a DNS header") // RFC 7766 §8
)

// open starts the goroutines of the connection in r; each calls group.Done when it ends.
func open(lane *transport.Lane, r dialed, group *sync.WaitGroup) *conn {
	now := transport.Now()
	c := &conn{lane: lane, address: r.address, place: r.place, stream: r.stream, raw: r.stream, opened: now, lastUse: now, out: make([]byte, 0, batchBytesMax)}
	c.share = transport.NewQuota(lane.Endpoint(), now)
	c.work.L = &c.mu
	c.table.init()
	counters := lane.Counters()
	if secure, ok := r.stream.(*tls.Conn); ok {
		c.raw = secure.NetConn()
		if secure.ConnectionState().DidResume {
			counters.Resumed.Add(1)
		}
	}
	counters.Open.Add(1)
	group.Go(c.write)
	group.Go(c.read)
	return c
}

// accept is what became of an attempt to add a query to a connection.
type accept uint8

const (
	accepted  accept = iota
	batchFull        // not now: the driver is told when there is room
	tableFull        // no id is free
	malformed        // not a query with one question
)

// add puts r, which has been sent on so many lost connections before, into the batch. The caller holds mu, and signals work when it has added all it had.
func (c *conn) add(r transport.Request, resent uint8, now time.Duration) accept {
	if !c.room(len(r.Query)) {
		c.starved = true
		return batchFull
	}
	end, ok := transport.QuestionEnd(r.Query)
	if !ok {
		return malformed
	}
	if c.table.used() == 0 {
		c.waitSince = now
	}
	id, ok := c.table.add(r, end, resent)
	if !ok {
		return tableFull
	}
	c.lastUse = now
	c.taken++
	begin, size := len(c.out)+2, len(r.Query)
	c.out = binary.BigEndian.AppendUint16(c.out, uint16(size))
	c.out = binary.BigEndian.AppendUint16(c.out, id)
	c.out = append(c.out, r.Query[2:]...)
	if c.asks() {
		end := c.lane.Endpoint()
		size = wire.AskKeepalive(c.out[begin:begin+transport.QueryBytesMax], size, end.PaddingBlock)
		binary.BigEndian.PutUint16(c.out[begin-2:], uint16(size))
		c.out = c.out[:begin+size]
	}
	return accepted
}

// asks reports whether queries ask for the server's idle timeout: until the first answer, which has it or does not. mu is held.
func (c *conn) asks() bool { return !c.answered && c.lane.Endpoint().AskKeepalive }

// room reports whether the batch takes a query of n bytes. mu is held.
func (c *conn) room(n int) bool {
	if c.asks() {
		n = transport.QueryBytesMax
	}
	return len(c.out)+2+n <= batchBytesMax
}

// announce takes in the idle timeout that the server has told, in units of 100 ms (RFC 7828 §3.1).
func (c *conn) announce(timeout uint16) {
	theirs := time.Duration(timeout) * 100 * time.Millisecond
	theirs -= theirs / theirsMargin
	c.mu.Lock()
	news := !c.announced || c.theirs != theirs
	c.announced, c.theirs = true, theirs
	c.mu.Unlock()
	if news {
		c.lane.Notify()
	}
}

// write is the writer's goroutine: it swaps buffers and writes, until the connection is closed or broken.
func (c *conn) write() {
	sending := make([]byte, 0, batchBytesMax)
	for {
		c.mu.Lock()
		c.writeSince = 0
		for len(c.out) == 0 && !c.closing {
			c.work.Wait()
		}
		if c.closing {
			polite := c.polite
			c.mu.Unlock()
			c.hangUp(polite)
			return
		}
		c.out, sending = sending[:0], c.out
		c.writeSince = transport.Now()
		starved := c.starved
		c.starved = false
		c.mu.Unlock()
		if starved {
			c.lane.Notify()
		}
		if _, err := c.stream.Write(sending); err != nil {
			c.lose(fmt.Errorf("write: %w", err))
			continue // to wait for the driver, which closes what is lost
		}
		c.lane.Counters().BytesSent.Add(uint64(len(sending)))
	}
}

// hangUp closes the connection, which ends the reader. TLS says goodbye where everything sent has been answered: the peer reads, so
// the few bytes do not block. Errors have no consequence: the descriptor is gone either way.
func (c *conn) hangUp(polite bool) {
	if polite {
		c.stream.Close()
	}
	c.raw.Close()
}

// lose marks the connection as unusable for reason, the first one given, and tells the driver.
func (c *conn) lose(reason error) {
	c.mu.Lock()
	if c.lost == nil {
		c.lost = reason
	}
	c.mu.Unlock()
	c.lane.Notify()
}

// close ends the connection, politely if nobody waits for an answer and nothing is under way. It does not block. Its goroutines end soon
// after; the table is no longer theirs if it has been drained.
func (c *conn) close() {
	c.mu.Lock()
	c.closing = true
	c.polite = c.lost == nil && c.table.live == 0 && c.writeSince == 0 && len(c.out) == 0
	polite := c.polite
	c.mu.Unlock()
	c.work.Signal()
	if !polite {
		c.raw.Close()
	}
	c.lane.Counters().Open.Add(-1)
	c.place.Release()
}
