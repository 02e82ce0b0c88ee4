package doh

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"secure-dns-proxy/transport/pool"
)

// dialed is the end of one attempt.
type dialed struct {
	conn pool.Conn
	err  error
}

var errSlower = errors.New("slower to connect than HTTP/2")

// race opens an HTTP/3 connection to alternative or, if that fails or is not there after a head start, an HTTP/2 connection to address,
// whichever is there first (RFC 9114 §3.1: a client should try TCP where QUIC does not get through). HTTP/3 that loses has failed.
func (p *protocol) race(ctx context.Context, address, alternative netip.AddrPort) (pool.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quic := p.attempt(func() (pool.Conn, error) { return made(p.dial3(ctx, alternative)) })
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	select {
	case r := <-quic:
		if r.err == nil {
			return r.conn, nil
		}
		p.probe.failed(r.err)
		return made(p.dial2(ctx, address))
	case <-timer.C:
	}
	tcp := p.attempt(func() (pool.Conn, error) { return made(p.dial2(ctx, address)) })
	select {
	case r := <-quic:
		if r.err == nil {
			p.discard(tcp)
			return r.conn, nil
		}
		p.probe.failed(r.err)
		r = <-tcp
		return r.conn, r.err
	case r := <-tcp:
		if r.err == nil {
			p.probe.failed(errSlower)
			p.discard(quic)
			return r.conn, nil
		}
		r = <-quic
		if r.err != nil {
			p.probe.failed(r.err)
		}
		return r.conn, r.err
	}
}

// attempt runs dial on a goroutine that close waits for.
func (p *protocol) attempt(dial func() (pool.Conn, error)) <-chan dialed {
	result := make(chan dialed, 1)
	p.probe.group.Go(func() {
		conn, err := dial()
		result <- dialed{conn, err}
	})
	return result
}

// discard closes the connection of an attempt that lost, if it comes.
func (p *protocol) discard(loser <-chan dialed) {
	p.probe.group.Go(func() {
		if r := <-loser; r.err == nil {
			r.conn.Close()
		}
	})
}
