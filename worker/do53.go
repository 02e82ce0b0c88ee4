package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/do53"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

// Exchanges over UDP leave from connected sockets of this worker: the kernel lets in only datagrams from the upstream's own address and
// port, the exchange table only those with an outstanding id, and wire.ParseResponse only those with the question that was asked. Each
// upstream has socketsPerUpstream sockets with source ports chosen by the kernel, of which each turn draws one; do53.Table says when one is to be replaced.

// upstreamSocket is one source port. The zero value is a free index.
type upstreamSocket struct {
	handle   ring.Handle
	upstream *upstream
	path     *path
}

// openSockets gives u its sockets. What cannot be opened now is tried again when it is needed.
func (w *worker) openSockets(u *upstream) {
	for len(u.sockets) < socketsPerUpstream && w.openSocket(u) {
	}
}

// openSocket opens one more socket for u and reports whether it could. After a failure it is not tried again before openRetry has
// passed.
func (w *worker) openSocket(u *upstream) bool {
	if w.now < u.openAgain {
		return false
	}
	if err := w.connect(u); err != nil {
		u.health.Down(err)
		u.openAgain = w.now + int64(openRetry)
		return false
	}
	return true
}

// connect opens one more socket for u, to the address whose turn it is. Addresses that the kernel knows no way to are passed over.
func (w *worker) connect(u *upstream) error {
	err := fmt.Errorf("no address known for %s", u.endpoint.Host)
	for range u.endpoint.Addresses.Load() {
		addr := w.nextAddress(u)
		u.opened++
		var fd int
		if fd, err = sys.ConnectUDP(addr, sys.SocketOptions{RecvBufferBytes: w.cfg.RecvBufferBytes}); err == nil {
			return w.watchSocket(u, addr, fd)
		}
		err = fmt.Errorf("udp %v: %w", addr, err)
		u.endpoint.AddressFailed(addr, time.Duration(w.now), err)
	}
	return err
}

// watchSocket puts a connected socket into use.
func (w *worker) watchSocket(u *upstream, addr netip.AddrPort, fd int) error {
	index, ok := w.freeSocket()
	if !ok {
		return errors.Join(fmt.Errorf("udp %v: worker %d uses all its %d sockets", addr, w.index, do53.SocketsMax), sys.CloseFD(fd))
	}
	h, err := w.eng.AddDatagram(fd, upstreamTag|uint32(index), false)
	if err != nil {
		return fmt.Errorf("udp %v: %w", addr, err)
	}
	w.exchanges.Started(index, w.now)
	w.sockets[index] = upstreamSocket{handle: h, upstream: u, path: u.pathTo(addr)}
	u.sockets = append(u.sockets, index)
	return nil
}

// freeSocket returns a number that names no socket and that no exchange refers to.
func (w *worker) freeSocket() (uint16, bool) {
	for i := range w.sockets {
		if w.sockets[i].upstream == nil && w.exchanges.Outstanding(uint16(i)) == 0 {
			return uint16(i), true
		}
	}
	return 0, false
}

// closeSockets closes every socket of u, replaced ones too; nothing is outstanding on them.
func (w *worker) closeSockets(u *upstream) {
	for i := range w.sockets {
		if w.sockets[i].upstream == u {
			w.exchanges.Stopped(uint16(i))
			w.closeSocket(uint16(i))
		}
	}
}

// closeSocket closes a socket that the exchange table has forgotten.
func (w *worker) closeSocket(i uint16) {
	w.eng.Close(w.sockets[i].handle)
	w.sockets[i] = upstreamSocket{}
}

// rotateSockets replaces source ports that have been used for long enough and closes replaced ones that nothing is outstanding on.
func (w *worker) rotateSockets() {
	for {
		index, step := w.exchanges.Rotate(w.now)
		switch step {
		case do53.Nothing:
			return
		case do53.Close:
			w.closeSocket(index)
		case do53.Replace:
			u := w.sockets[index].upstream
			if u.retired || !w.openSocket(u) { // better an old port than none
				continue
			}
			u.sockets = slices.DeleteFunc(u.sockets, func(other uint16) bool { return other == index })
			w.exchanges.Retire(index, w.now)
		}
	}
}

// sendDatagram starts an exchange over UDP, noted in e, and reports whether it could.
func (w *worker) sendDatagram(slot uint32, s *inflight.Slot, e *inflight.Exchange, u *upstream, query []byte) bool {
	if len(u.sockets) < socketsPerUpstream {
		w.openSockets(u)
	}
	sock, id, ok := w.port(u, slot, s.Gen)
	if !ok {
		fault := transport.FaultFull
		if len(u.sockets) == 0 {
			fault = transport.FaultDial
		}
		u.stats.Faults[fault]++
		return false
	}
	e.Key, e.Open = uint32(sock)<<16|uint32(id), true
	w.transmit(e, query)
	return true
}

// port opens an exchange with u from one of its sockets, drawn anew in each turn: what leaves from one socket in one turn is cheaper for
// the kernel (see ring's trains), both ways. The id is drawn for each query.
func (w *worker) port(u *upstream, slot, gen uint32) (sock, id uint16, ok bool) {
	if u.drawn == w.stats.Turns+1 && w.sockets[u.port].upstream == u {
		if id, ok = w.exchanges.Open(u.port, slot, gen); ok {
			return u.port, id, true
		} // full, or retired
	}
	if sock, ok = w.exchanges.Choose(u.sockets); !ok {
		return 0, 0, false
	}
	u.port, u.drawn = sock, w.stats.Turns+1
	id, ok = w.exchanges.Open(sock, slot, gen)
	return sock, id, ok
}

// transmit sends query with the id and from the port of an exchange.
func (w *worker) transmit(e *inflight.Exchange, query []byte) {
	buf := w.eng.Reserve()
	n := copy(buf, query)
	binary.BigEndian.PutUint16(buf, uint16(e.Key))
	w.eng.Commit(w.sockets[e.Key>>16].handle, n, nil)
}

// sendAgain repeats the last query of a slot whose datagram, or the answer to it, may have been lost: same id, same port, so either answer
// will do; unless the address seems to be dead and there is another. That costs nothing of the retry budget if the other one is known to
// answer: it is not the network that is sick. What was asked over a connection is not repeated.
func (w *worker) sendAgain(slot uint32, s *inflight.Slot, p *pool) {
	var last *inflight.Exchange
	for i := range s.Exchanges {
		if e := &s.Exchanges[i]; e.Upstream != inflight.NoUpstream && e.Open && (last == nil || e.SentAt > last.SentAt) {
			last = e
		}
	}
	if last == nil || s.Attempts >= attemptsMax {
		return
	}
	u, from := w.upstreams[last.Upstream], w.sockets[last.Key>>16].path
	suspect := from != nil && (from.silent > 0 || !from.answered)
	if !(suspect && u.answersBeside(from)) && !p.retry.Spend(w.now, p.spec.RetryPercent, balance.RetryFloor) {
		return
	}
	if suspect {
		w.move(slot, s, last)
	}
	w.repeat(s, p, last)
}

// repeat transmits the query of an exchange once more.
func (w *worker) repeat(s *inflight.Slot, p *pool, e *inflight.Exchange) {
	n := wire.BuildQuery(w.request[:], 0, w.requestKey(s, w.upstreams[e.Upstream]), upstreamUDPSize)
	w.transmit(e, w.request[:n])
	w.stats.Retries++
	p.stats.Retries++
	w.upstreams[e.Upstream].stats.Exchanges++
	s.Attempts++
	e.SentAt, e.Late = w.now, false
}

// upstreamDatagram handles what came to one of the source ports.
func (w *worker) upstreamDatagram(ev *ring.Event) {
	sock := uint16(ev.Tag &^ upstreamTag)
	u := w.sockets[sock].upstream
	if u == nil {
		return // a datagram that was read before the socket was closed
	}
	if len(ev.Data) < wire.HeaderBytes || ev.Truncated {
		u.stats.Rejected++
		return
	}
	id := binary.BigEndian.Uint16(ev.Data)
	slot, gen, ok := w.exchanges.Match(sock, id)
	if !ok {
		u.stats.Rejected++
		return
	}
	s := w.table.Live(slot, gen)
	if s == nil {
		panic("worker: exchange of a slot that is gone")
	}
	fault := wire.ParseResponse(ev.Data, w.questionOf(s), &w.answer, &w.scratch)
	if p := w.sockets[sock].path; fault == wire.FaultNone && (p.silent > 0 || !p.answered) {
		p.heard(u)
	}
	switch {
	case fault == wire.FaultRecord || fault == wire.FaultOPT: // the right question, but nothing that could be used
		u.stats.Rejected++
		w.failed(slot, u, transport.FaultProtocol)
	case fault != wire.FaultNone: // possibly forged: the true answer may still come
		u.stats.Rejected++
	case w.answer.Flags&wire.FlagTC != 0:
		w.overTCP(slot, s, u)
	default:
		w.answered(slot, u)
	}
}

// overTCP asks the same upstream again over TCP because its answer did not fit a datagram (RFC 7766 §5).
func (w *worker) overTCP(slot uint32, s *inflight.Slot, u *upstream) {
	e := attemptOf(s, u)
	n := wire.BuildQuery(w.request[:], 0, w.requestKey(s, u), streamUDPSize)
	if !u.lane.Submit(slot, s.Gen, time.Duration(s.Deadline), w.request[:n]) {
		w.failed(slot, u, transport.FaultFull)
		return
	}
	w.exchanges.Close(uint16(e.Key>>16), uint16(e.Key))
	e.SentAt, e.Open, e.Late = w.now, false, false
	u.stats.Truncated++
	w.schedule(slot, s)
}

// unsent counts a query that found no room in a socket's send buffer. It is sent again when its attempt's time is over, as if it had been
// lost on the way.
func (w *worker) unsent(ev *ring.Event) {
	if u := w.sockets[uint16(ev.Tag&^upstreamTag)].upstream; u != nil {
		u.stats.Faults[transport.FaultFull]++
	}
}

// upstreamError handles an error on a source port: mostly the ICMP message that nobody listens at the address. All exchanges with it are
// ended at once: they move to another address of the upstream, or fail, so that their queries go elsewhere.
func (w *worker) upstreamError(ev *ring.Event) {
	sock := &w.sockets[uint16(ev.Tag&^upstreamTag)]
	u, from := sock.upstream, sock.path
	if u == nil || w.now-from.sweptAt < int64(refusedSweep) {
		return
	}
	from.sweptAt = w.now
	if !w.abandon(u, from, ev.Errno) {
		u.health.Down(fmt.Errorf("udp %v: %w", from.addr, ev.Errno))
	}
	for slot := range uint32(w.cfg.Slots) {
		s := w.table.At(slot)
		e := attemptOf(s, u)
		if e == nil || !e.Open || w.sockets[e.Key>>16].path != from {
			continue
		}
		p := w.poolOf(s)
		budget := u.answersBeside(from) || p.retry.Spend(w.now, p.spec.RetryPercent, balance.RetryFloor)
		if budget && s.Attempts < attemptsMax && w.move(slot, s, e) {
			w.repeat(s, p, e)
			w.schedule(slot, s)
			continue
		}
		w.failed(slot, u, transport.FaultDial)
	}
}
