package doh

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
)

// probe finds out whether HTTP/3 works at an upstream, while its lane asks over HTTP/2, and makes the lane change over:
//
//	a response over HTTP/2, no rest ──▶ dial HTTP/3 in the background
//	it is there ──▶ kept as spare; HTTP/2 connections take no more queries; the next dial takes the spare
//	the server sends GOAWAY ──▶ HTTP/2 for some seconds
//	an HTTP/3 connection fails or falls silent, or loses the race of a dial ──▶ HTTP/2 again, HTTP/3 rests
//
// No query waits for a handshake that it would not wait for otherwise, and none is sent twice for this.
type probe struct {
	*origin
	dial  func(context.Context, netip.AddrPort) (*conn3, error)
	ctx   context.Context // ends with the lane
	stop  context.CancelFunc
	group sync.WaitGroup // the goroutines of dials

	works atomic.Bool // of alt

	mu      sync.Mutex
	alt     alternative
	running bool // a dial in the background
	spare   *conn3
	taken   chan struct{} // closed when spare is
}

func newProbe(o *origin, dial func(context.Context, netip.AddrPort) (*conn3, error)) *probe {
	b := &probe{origin: o, dial: dial, alt: alternative{standard: o.end.Port}}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// won reports whether HTTP/3 works.
func (b *probe) won() bool { return b.works.Load() }

// target returns the port of HTTP/3; false if it is not to be tried now.
func (b *probe) target() (uint16, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alt.target(transport.Now())
}

// learn looks for an Alt-Svc field in the header of a response.
func (b *probe) learn(header http.Header) {
	values := header["Alt-Svc"]
	if len(values) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	field := values[0]
	if len(values) > 1 {
		field = strings.Join(values, ",")
	}
	b.alt.learn(field, b.end.Host, transport.Now())
	b.works.Store(b.alt.works)
}

// consider learns from a response over HTTP/2 from address, and tries HTTP/3 there if it is time to.
func (b *probe) consider(header http.Header, address netip.AddrPort) {
	b.learn(header)
	if b.won() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	port, ok := b.alt.target(transport.Now())
	if !ok || b.running || b.ctx.Err() != nil {
		return
	}
	b.running = true
	b.group.Go(func() { b.try(netip.AddrPortFrom(address.Addr(), port)) })
}

// try is the goroutine of a dial in the background. It stays with the connection until somebody takes it, at most IdleTimeout.
func (b *probe) try(address netip.AddrPort) {
	ctx, cancel := context.WithTimeout(b.ctx, b.end.DialTimeout)
	c, err := b.dial(ctx, address)
	cancel()
	if err != nil {
		b.failed(err)
		b.mu.Lock()
		b.running = false
		b.mu.Unlock()
		return
	}
	taken := make(chan struct{})
	b.mu.Lock()
	b.running = false
	b.spare, b.taken = c, taken
	b.alt.works = true
	b.works.Store(true)
	b.mu.Unlock()
	b.lane.Notice("HTTP/3 works and is used", nil)
	timer := time.NewTimer(b.end.IdleTimeout)
	defer timer.Stop()
	select {
	case <-taken:
		return
	case <-c.Ended():
	case <-timer.C:
	case <-b.ctx.Done():
	}
	b.mu.Lock()
	mine := b.spare == c
	if mine {
		b.spare = nil
	}
	b.mu.Unlock()
	if mine {
		c.Close()
	}
}

// take returns the connection that a dial in the background has made, or nil.
func (b *probe) take() *conn3 {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.spare
	if c == nil {
		return nil
	}
	b.spare = nil
	close(b.taken)
	if c.quic.Context().Err() != nil {
		return nil
	}
	return c
}

// proven notes that a query was answered over HTTP/3: the next failure starts with the shortest rest.
func (b *probe) proven() {
	b.mu.Lock()
	b.alt.rest = 0
	b.mu.Unlock()
}

// left notes that the server closes its connections in good order.
func (b *probe) left() {
	b.mu.Lock()
	b.alt.left(transport.Now())
	b.works.Store(false)
	b.mu.Unlock()
}

// failed notes that HTTP/3 could not be used, and makes it rest.
func (b *probe) failed(reason error) {
	if b.ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	fresh := b.alt.failed(transport.Now())
	b.works.Store(false)
	b.mu.Unlock()
	if fresh {
		b.lane.Counters().HTTP3Failures.Add(1)
		b.lane.Notice("HTTP/3 does not work, HTTP/2 is used", reason)
	}
}

// close ends what is under way and waits for it.
func (b *probe) close() {
	b.stop()
	b.group.Wait()
}
