package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/stream"
)

// reply sends an answer to the client described by w.client, unless a limit holds it back.
func (w *worker) reply(to *origin, a *wire.Answer, age uint32) {
	if w.limiter != nil && !to.tcp && w.withhold(to, a, a.RCode) {
		return
	}
	w.send(to, a, age)
}

// replyError sends an answer without records to the client described by w.client, unless a limit holds it back.
func (w *worker) replyError(to *origin, rcode, ede uint16) {
	if w.limiter != nil && !to.tcp && w.withhold(to, nil, rcode) {
		return
	}
	w.sendError(to, rcode, ede)
}

// send does the rest of reply.
func (w *worker) send(to *origin, a *wire.Answer, age uint32) {
	if to.tcp {
		need := replyOverhead + len(w.client.Question) + len(a.Records)
		if a.Told != nil {
			need += len(a.Told.Passed)
		}
		if buf := w.reserve(to.conn, need); buf != nil {
			n := wire.WriteReply(buf, &w.client, a, age, w.cfg.UDPSizeMax)
			w.countReply(to, buf[:n], a.RCode)
			w.commit(to.conn, n)
		}
		return
	}
	buf := w.eng.Reserve()
	n := wire.WriteReply(buf, &w.client, a, age, w.cfg.UDPSizeMax)
	w.countReply(to, buf[:n], a.RCode)
	w.eng.Commit(to.socket, n, to.path)
}

// replyTruncated sends an answer that only says that the client should come over TCP.
func (w *worker) replyTruncated(to *origin, ede uint16) {
	w.answer = wire.Answer{Flags: wire.FlagTC, Extended: ede}
	w.reply(to, &w.answer, 0)
}

// sendError does the rest of replyError.
func (w *worker) sendError(to *origin, rcode, ede uint16) {
	if to.tcp {
		if buf := w.reserve(to.conn, wire.ErrorBytesMax); buf != nil {
			n := wire.WriteError(buf, &w.client, rcode, ede, w.cfg.UDPSizeMax)
			w.countReply(to, buf[:n], rcode)
			w.commit(to.conn, n)
		}
		return
	}
	buf := w.eng.Reserve()
	n := wire.WriteError(buf, &w.client, rcode, ede, w.cfg.UDPSizeMax)
	w.countReply(to, buf[:n], rcode)
	w.eng.Commit(to.socket, n, to.path)
}

// replyOverhead is what a reply holds at most besides question and records: as much as an error.
const replyOverhead = wire.ErrorBytesMax - wire.QuestionBytesMax

// countReply counts a finished reply. rcode is the extended one; a client without EDNS was told another (RFC 6891 §6.1.3).
func (w *worker) countReply(to *origin, msg []byte, rcode uint16) {
	if rcode > wire.RCodeMask && !w.client.HasOPT {
		rcode = uint16(msg[3] & wire.RCodeMask)
	}
	w.stats.Answers[min(rcode, RCodeOther)]++
	if msg[2]&0x02 != 0 {
		w.stats.Truncated++
	}
	if w.blocks.census != nil {
		w.blocks.census.Answer(admission.SourceOf(to.path), rcode, len(msg))
	}
}

// reserve returns room for n bytes in the output of a TCP client. A client that leaves its answers unread is cut off (nil).
func (w *worker) reserve(conn stream.ConnID, n int) []byte {
	buf := w.conns.Reserve(conn, min(n, wire.MessageBytesMax))
	if buf == nil {
		w.stats.Drops[DropSlowReader]++
		w.closeStream(conn)
	}
	return buf
}

// commit queues a reply to a TCP client and has the connection looked at when the turn ends.
func (w *worker) commit(conn stream.ConnID, n int) {
	w.conns.Commit(conn, n)
	w.markDirty(conn)
}

// restoreClient rebuilds w.client from a waiter and the key of its slot, and returns where the reply goes; false when a TCP client is
// gone.
func (w *worker) restoreClient(s *inflight.Slot, waiter *inflight.Waiter, to *origin) bool {
	c := &w.client
	c.ID, c.Flags = waiter.ID, waiter.Flags
	c.Question = wire.RestoreQuestion(&w.question, s.KeyBytes(), &waiter.Case)
	c.HasOPT, c.DO = waiter.HasOPT, waiter.DO
	c.Extended, c.TTLHigh = waiter.Extended, waiter.TTLHigh
	c.Limit = int(waiter.Limit)
	c.Options = nil
	if waiter.TCP {
		*to = origin{tcp: true, conn: stream.ConnID(waiter.Conn)}
		conn := w.live(to.conn)
		if conn == nil {
			w.stats.Drops[DropGone]++
			return false
		}
		to.path = &conn.Peer
	} else {
		*to = origin{socket: waiter.Socket, path: &waiter.Path}
	}
	if len(w.active.views) != 0 {
		to.view = w.viewOf(to)
	}
	w.asked = asked{cookie: waiter.Cookie, marks: waiter.Marks, hasNetwork: waiter.HasSubnet, network: waiter.Subnet}
	if w.asked != (asked{}) {
		c.Options = w.replyOptions(to, nil)
	}
	if waiter.Policy == w.rules.number { // else a reload has changed what tags mean
		w.asked.tags = waiter.Tags
	}
	if waiter.HasSubnet {
		if at := w.echoSubnet(&waiter.Subnet); waiter.Marks&inflight.Replaced == 0 {
			c.Options[at] = w.scope
		}
	}
	return true
}

// forsake ends a slot whose clients get no answer, because a rule says so.
func (w *worker) forsake(s *inflight.Slot, slot uint32) {
	var to origin
	for waiter := w.table.FirstWaiter(slot); waiter != nil; waiter = w.table.NextWaiter(waiter) {
		switch {
		case waiter.Alias:
			w.deliverAlias(s, waiter, nil, 0, wire.RCodeServFail, wire.EDEBlocked)
		case w.restoreClient(s, waiter, &to):
			w.dropByRule(&to)
		}
	}
	w.free(slot)
}

// deliver replies to every waiter of a slot, with the answer (rcode and ede ignored) or, where a is nil, with an error. The slot stays
// to be released by the caller.
func (w *worker) deliver(s *inflight.Slot, slot uint32, a *wire.Answer, rcode, ede uint16) {
	w.deliverAged(s, slot, a, 0, rcode, ede)
}

// deliverAged is deliver of an answer that was learned age seconds ago.
func (w *worker) deliverAged(s *inflight.Slot, slot uint32, a *wire.Answer, age uint32, rcode, ede uint16) {
	var to origin
	w.common.lent++
	if a == nil {
		w.scope = 0
	}
	for waiter := w.table.FirstWaiter(slot); waiter != nil; waiter = w.table.NextWaiter(waiter) {
		if waiter.Alias {
			w.deliverAlias(s, waiter, a, age, rcode, ede)
			continue
		}
		if !w.restoreWaiting(s, waiter, &to) {
			continue
		}
		if a != nil {
			w.tellWaiter(s, waiter, a, age, &to)
			continue
		}
		if w.judgedUnsaid(waiter.Later, s.KeyBytes(), s.Hash, &to) {
			continue
		}
		w.stats.Failed++
		w.replyError(&to, rcode, ede)
	}
	w.common.lent--
}

// restoreWaiting is restoreClient for a waiter whose waiting is over: it is counted, and over TCP nothing is owed to it any more. It comes before the
// reply: a policy that leads the client to another name has it wait again.
func (w *worker) restoreWaiting(s *inflight.Slot, waiter *inflight.Waiter, to *origin) bool {
	if !w.restoreClient(s, waiter, to) {
		return false
	}
	w.stats.Latency.add(w.now-waiter.At, 1)
	if to.tcp {
		w.conns.Done(to.conn, w.now)
	}
	return true
}

// tellWaiter is tellClient for a waiter of a slot, whose client w.client is.
func (w *worker) tellWaiter(s *inflight.Slot, waiter *inflight.Waiter, a *wire.Answer, age uint32, to *origin) {
	w.tellClient(a, age, waiter.Later, s.KeyBytes(), s.Hash, to)
}
