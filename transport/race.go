package transport

import (
	"context"
	"net/netip"
	"time"
)

// Dialer connects to one address of an endpoint.
type Dialer[C any] struct {
	Try     func(context.Context, netip.AddrPort) (C, error) // several at a time; returns soon after its ctx has ended
	Discard func(C)                                          // closes a connection that came too late
}

// TryAddresses connects to one of the addresses of e, within DialTimeout (RFC 8305 §5). They are tried in the order of
// Endpoint.AddressOrder: the next one as soon as an attempt has failed, or when AttemptDelay has passed without a result. The first
// attempt that succeeds wins; the others are cancelled, and are gone when TryAddresses returns. An attempt is the whole handshake, TLS
// included: an address that takes connections and then says nothing must not win.
//
// It returns the address that won, or one DialError for each that failed, joined. Attempts are counted in c, and failures remembered in
// e.Addresses; an attempt that lost the race is no failure, nor is one that ctx ended.
func TryAddresses[C any](ctx context.Context, e *Endpoint, c *Counters, d Dialer[C]) (conn C, address netip.AddrPort, err error) {
	order, _ := e.AddressOrder(Now())
	if len(order) == 0 {
		return conn, address, &DialError{Endpoint: e.Name, Cause: CauseNoAddress, Err: errNoAddress}
	}
	attempts, cancel := context.WithTimeout(ctx, e.DialTimeout)
	defer cancel()
	r := &race[C]{end: e, counters: c, dialer: d, ctx: attempts, results: make(chan result[C], len(order))}
	won, problems := r.run(ctx, order)
	cancel()
	r.settle()
	if won != nil {
		return won.conn, won.address, nil
	}
	return conn, address, Joined(problems)
}

// race is one call of TryAddresses.
type race[C any] struct {
	end      *Endpoint
	counters *Counters
	dialer   Dialer[C]
	ctx      context.Context // of all attempts
	results  chan result[C]  // room for all of them
	running  int
}

type result[C any] struct {
	conn    C
	address netip.AddrPort
	err     error
}

// run starts attempts until one has won, or all have failed, or the time is over.
func (r *race[C]) run(caller context.Context, order []netip.AddrPort) (won *result[C], problems []error) {
	delay := r.delay(len(order))
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for next := 0; next < len(order) || r.running > 0; {
		if next < len(order) && r.ctx.Err() == nil {
			r.start(order[next])
			next++
			timer.Reset(delay)
		}
		over := r.ctx.Done()
		if r.running > 0 {
			over = nil // the attempts notice, and say how far they got
		}
		select {
		case got := <-r.results:
			r.running--
			if got.err == nil {
				r.end.addressConnected(got.address)
				return &got, nil
			}
			if caller.Err() == nil {
				r.counters.DialErrors.Add(1)
				r.end.AddressFailed(got.address, Now(), got.err)
			}
			problems = append(problems, &DialError{Endpoint: r.end.Name, Address: got.address, Cause: CauseOf(got.err), Err: got.err})
		case <-timer.C:
		case <-over:
		}
		if r.ctx.Err() != nil {
			next = len(order)
		}
	}
	if len(problems) == 0 { // ctx had ended before the first attempt
		problems = append(problems, &DialError{Endpoint: r.end.Name, Address: order[0], Cause: CauseTimeout, Err: context.Cause(r.ctx)})
	}
	return nil, problems
}

// delay returns the time between two attempts: shorter than configured if the last of n addresses would not have its turn otherwise.
func (r *race[C]) delay(n int) time.Duration {
	delay := r.end.AttemptDelay
	if delay == 0 {
		delay = AttemptDelayDefault
	}
	return max(min(delay, r.end.DialTimeout/time.Duration(n)), attemptDelayMin)
}

// start begins an attempt.
func (r *race[C]) start(address netip.AddrPort) {
	r.running++
	r.counters.Dials.Add(1)
	go func() {
		conn, err := r.dialer.Try(r.ctx, address)
		r.results <- result[C]{conn, address, err}
	}()
}

// settle waits for the attempts that lost; one of them may have connected all the same.
func (r *race[C]) settle() {
	for ; r.running > 0; r.running-- {
		if got := <-r.results; got.err == nil {
			r.dialer.Discard(got.conn)
		}
	}
}
