package worker

import (
	"context"
	"errors"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/relay"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/stream"
)

// Requests that are forwarded though they are no cacheable queries have a place in relays while goroutines carry them (transport/relay). They come near neither cache nor
// in-flight table: each is carried by itself, and its answer goes to its client as it is.

// relays are those of one worker.
type relays struct {
	link      *relayLink // nil: nothing was ever forwarded
	places    []relayed  // PlacesMax
	free      []uint32
	transfers int // of those under way
}

// relayed is a request under way.
type relayed struct {
	gen      uint32
	state    relayState
	kind     RequestKind
	at       int64 // ns: when it came; of a transfer: when held was filled
	client   wire.Client
	asked    asked
	question [wire.QuestionBytesMax]byte // that client views
	socket   ring.Handle
	path     ring.Path
	conn     stream.ConnID // over TCP
	tcp      bool
	held     []byte // a message of a transfer that its client has no room for yet
}

// relayState says what a place waits for.
type relayState uint8

const (
	relayFree    relayState = iota
	relayAsked              // a Reply is owed
	relayHeld               // the client is to take a message
	relayLeaving            // nobody waits, but a Reply is owed
)

// relayLink is the line of one worker. It stays for the life of the group once it is there.
type relayLink struct{ line *relay.Line }

func (r *relayLink) close(ctx context.Context) error { return r.line.Close(ctx) }

// linkRelays makes the lines of the workers when the first snapshot forwards something. The lock is held, or the group has not begun.
func (g *Group) linkRelays(snap *Snapshot) error {
	if len(g.relays) != 0 || !snap.Requests.Relays() {
		return nil
	}
	var links []*relayLink
	for i := range g.cfg.Workers {
		line, err := relay.NewLine(g.wake(i))
		if err != nil {
			return errors.Join(err, closeLinks(links))
		}
		line.Serve()
		links = append(links, &relayLink{line: line})
	}
	g.relays = links
	return nil
}

// setRelays takes over the line.
func (w *worker) setRelays(link *relayLink) {
	r := &w.relays
	if link == nil || r.link != nil {
		return
	}
	r.link = link
	r.places = make([]relayed, relay.PlacesMax)
	r.free = make([]uint32, relay.PlacesMax)
	for i := range r.free {
		r.free[i] = uint32(relay.PlacesMax - 1 - i)
	}
}

// underWay returns how many requests are being carried.
func (r *relays) underWay() int { return len(r.places) - len(r.free) }

// relay has the request in hand carried to an upstream.
func (w *worker) relay(l *lookup, kind RequestKind, from *origin) {
	transfer := kind == RequestTransfer
	if transfer && !from.tcp {
		w.transferOverUDP(l, from)
		return
	}
	if w.draining {
		w.stats.Drops[DropDraining]++
		return
	}
	r := &w.relays
	if len(r.free) == 0 || transfer && r.transfers == relay.TransfersMax {
		w.stats.Requests[kind][RequestFull]++
		w.replyError(from, wire.RCodeServFail, wire.ReasonFull)
		return
	}
	place := r.free[len(r.free)-1]
	job := &r.link.line.Jobs[place]
	w.fillJob(job, l, kind)
	p := &r.places[place]
	p.gen++
	if len(job.Endpoints) == 0 || !r.link.line.Start(place, p.gen) {
		w.stats.Requests[kind][RequestFailed]++
		w.replyError(from, wire.RCodeServFail, wire.EDENoReachableAuthority)
		return
	}
	r.free = r.free[:len(r.free)-1]
	if transfer {
		r.transfers++
	}
	p.state, p.kind, p.at = relayAsked, kind, w.now
	p.client, p.asked = w.client, w.asked
	p.client.Question = p.question[:copy(p.question[:], w.client.Question)]
	p.client.Options = nil
	p.socket, p.path, p.conn, p.tcp = from.socket, *from.path, from.conn, from.tcp
	if from.tcp {
		w.conns.Begin(from.conn)
	}
}

// fillJob says what is to be carried, and where: to the pool that a rule or a view says, or the kind's own, or that of the name. Its upstreams come in the order of the
// configuration, those that are well first.
func (w *worker) fillJob(job *relay.Job, l *lookup, kind RequestKind) {
	p := l.pool
	if p == nil {
		p = w.active.courses[kind]
	}
	if p == nil {
		p = w.active.pools[0]
		if len(l.query.Question) != 0 {
			p = w.poolFor(l.query.Key(&l.space)[:l.query.NameLen])
		}
	}
	job.Message = append(job.Message[:0], l.message...)
	job.Transfer = kind == RequestTransfer
	// A NOTIFY or a question may be repeated. RFC 2136 §5.1 leaves it to the requestor to say an UPDATE again, and of other opcodes nothing is known.
	job.Once = kind == RequestUpdate || kind == RequestOpcode
	job.Deadline = time.Duration(w.now + w.active.queryTimeout)
	if job.Transfer {
		job.Extent = wire.NewTransfer(l.message, &l.query)
	}
	clear(job.Endpoints)
	job.Endpoints = job.Endpoints[:0]
	for _, well := range [...]bool{true, false} {
		for _, u := range p.members {
			switch {
			case u.health.Share(w.now) == 0, u.health.Eligible(w.now) != well:
			case !well && p.spec.WhenDown == ServFail, job.Transfer && u.endpoint.Scheme == transport.HTTPS:
			default:
				job.Endpoints = append(job.Endpoints, u.endpoint)
			}
		}
	}
}

// transferOverUDP answers what cannot be carried there. An IXFR may come over UDP (RFC 1995 §2) and be answered with so little that the client comes over TCP: with TC, without asking
// anybody, so that a forged source gets no more than it sends. An AXFR may not (RFC 5936 §4.2).
func (w *worker) transferOverUDP(l *lookup, from *origin) {
	w.stats.Requests[RequestTransfer][RequestRefused]++
	if l.query.Type == wire.TypeIXFR {
		w.replyTruncated(from, wire.EDENone)
		return
	}
	w.stats.Malformed[l.fault]++
	w.replyError(from, wire.RCodeFormErr, wire.ReasonType)
}

// receiveRelays takes what has come of requests, and lets transfers go on whose clients have read what they had.
func (w *worker) receiveRelays() {
	line := w.relays.link.line
	for range laneBatch {
		reply, ok := line.Receive()
		if !ok {
			break
		}
		w.busy = true
		w.relayReply(&reply)
	}
	if w.relays.transfers == 0 {
		return
	}
	for i := range w.relays.places {
		if p := &w.relays.places[i]; p.state != relayFree && p.kind == RequestTransfer {
			w.tendTransfer(uint32(i), p)
		}
	}
}

// relayReply handles what has come of a request, or the next message of a transfer.
func (w *worker) relayReply(r *relay.Reply) {
	p := &w.relays.places[r.Place]
	switch {
	case p.state == relayLeaving:
		w.endRelay(r.Place, RequestLeft)
	case r.Fault != transport.FaultNone:
		w.failRelay(r.Place, r.Fault)
	case p.kind != RequestTransfer:
		w.deliverRelay(p, r.Msg)
		w.endRelay(r.Place, RequestRelayed)
	case len(r.Msg) == 0:
		w.endRelay(r.Place, RequestRelayed)
	default:
		p.state, p.at = relayHeld, w.now
		p.held = append(p.held[:0], r.Msg...)
	}
}

// tendTransfer gives the client of a transfer the message that it has room for, and gives up a transfer whose client has gone or does not read.
func (w *worker) tendTransfer(place uint32, p *relayed) {
	if w.live(p.conn) == nil {
		w.leaveTransfer(place, p)
		return
	}
	switch {
	case p.state != relayHeld:
	case w.conns.Idle(p.conn):
		w.stats.TransferMessages++
		w.stats.TransferBytes += uint64(len(p.held))
		w.deliverRelay(p, p.held)
		if w.relays.link.line.More(place, p.gen) {
			p.state = relayAsked
		} else { // never: one word at a time is owed for each place
			w.failRelay(place, transport.FaultFull)
		}
	case w.now-p.at > int64(relay.TransferIdle):
		w.stats.Drops[DropSlowReader]++
		w.closeStream(p.conn)
		w.leaveTransfer(place, p)
	}
}

// leaveTransfer ends a transfer that has no client any more; its place is free when no Reply is owed.
func (w *worker) leaveTransfer(place uint32, p *relayed) {
	if p.state == relayLeaving {
		return
	}
	w.relays.link.line.Stop(place, p.gen)
	if p.state == relayHeld {
		w.endRelay(place, RequestLeft)
		return
	}
	p.state = relayLeaving
}

// deliverRelay gives the client of a request a message as it came, or, over UDP, word that it is too long for that.
func (w *worker) deliverRelay(p *relayed, msg []byte) {
	to, ok := w.restoreRelayed(p)
	if !ok {
		return
	}
	if p.kind != RequestTransfer {
		w.stats.Latency.add(w.now-p.at, 1)
	}
	if !p.tcp {
		if len(msg) > w.client.Limit {
			w.replyTruncated(&to, wire.EDENone)
			return
		}
		buf := w.eng.Reserve()
		n := copy(buf, msg)
		w.countReply(&to, buf[:n], uint16(msg[3]&wire.RCodeMask))
		w.eng.Commit(to.socket, n, to.path)
		return
	}
	if buf := w.reserve(to.conn, len(msg)); buf != nil {
		copy(buf, msg)
		w.countReply(&to, msg, uint16(msg[3]&wire.RCodeMask))
		w.commit(to.conn, len(msg))
	}
}

// restoreRelayed makes the client of a request the one in hand; false when it has gone.
func (w *worker) restoreRelayed(p *relayed) (to origin, ok bool) {
	to = origin{socket: p.socket, path: &p.path, conn: p.conn, tcp: p.tcp}
	if p.tcp && w.live(p.conn) == nil {
		w.stats.Drops[DropGone]++
		return to, false
	}
	to.view = w.viewOf(&to)
	w.client = p.client
	if w.asked = p.asked; w.asked != (asked{}) {
		w.client.Options = w.replyOptions(&to, nil)
	}
	return to, true
}

// failRelay tells the client that its request could not be carried, or not to the end: a transfer that has begun ends with that (RFC 5936 §2.2).
func (w *worker) failRelay(place uint32, fault transport.Fault) {
	p := &w.relays.places[place]
	if p.kind == RequestTransfer { // its goroutine may not know yet
		w.relays.link.line.Stop(place, p.gen)
	}
	if to, ok := w.restoreRelayed(p); ok {
		w.replyError(&to, wire.RCodeServFail, relayReason(fault))
	}
	w.endRelay(place, RequestFailed)
}

// relayReason is what a client is told of a fault.
func relayReason(fault transport.Fault) uint16 {
	switch fault {
	case transport.FaultDial, transport.FaultTLS:
		return wire.EDENoReachableAuthority
	case transport.FaultFull:
		return wire.ReasonLimited
	}
	return wire.EDENetworkError
}

// endRelay gives a place back.
func (w *worker) endRelay(place uint32, outcome RequestOutcome) {
	r := &w.relays
	p := &r.places[place]
	w.stats.Requests[p.kind][outcome]++
	if p.tcp {
		w.conns.Done(p.conn, w.now)
		if w.live(p.conn) != nil {
			w.markDirty(p.conn)
		}
	}
	if p.kind == RequestTransfer {
		r.transfers--
	}
	p.state = relayFree
	r.free = append(r.free, place)
}
