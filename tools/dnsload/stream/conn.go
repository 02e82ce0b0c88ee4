package stream

import (
	"context"
	"crypto/tls"
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
