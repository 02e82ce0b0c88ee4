package worker

import (
	"slices"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/stream"
)

// A TCP client's life: accepted, streamData for each read, streamSent for each write, streamEnd when it has no more to ask, closeStream
// when nothing is owed or something is wrong, streamClosed when the kernel holds nothing of it any more.

// accepted takes in a TCP client or closes it at once where a cap is reached.
func (w *worker) accepted(ev *ring.Event) {
	if w.draining {
		w.eng.Close(ev.Handle)
		return
	}
	if !w.mayConnect(ev.Tag, ev.Path.Addr().Addr()) {
		w.stats.Streams[StreamProhibited]++
		w.eng.Close(ev.Handle)
		return
	}
	id, refusal := w.conns.Accept(ev.Handle, ev.Path, w.now)
	if refusal != stream.RefusalNone {
		if refusal == stream.RefusedClient {
			w.stats.Streams[StreamRefusedClient]++
		} else {
			w.stats.Streams[StreamRefusedTotal]++
		}
		w.eng.Close(ev.Handle)
		return
	}
	w.stats.Streams[StreamAccepted]++
	w.conns.Conn(id).Listener = uint16(ev.Tag)
	w.eng.SetTag(ev.Handle, uint32(id))
	w.markDirty(id) // starts to read
}

// makeRoom closes quiet connections where few places are left, after the turn's input was handled: who has asked is not quiet.
func (w *worker) makeRoom() {
	for {
		quiet, ok := w.conns.Crowded(w.now)
		if !ok {
			return
		}
		w.stats.Streams[StreamCrowded]++
		w.closeStream(quiet)
	}
}

// live returns the connection that an event belongs to; nil when it is being closed or was refused (then the tag is a listener's, which
// names no connection).
func (w *worker) live(id stream.ConnID) *stream.Conn {
	c := w.conns.Conn(id)
	if c == nil || c.Shut() {
		return nil
	}
	return c
}

// streamData handles what one read brought.
func (w *worker) streamData(ev *ring.Event) {
	id := stream.ConnID(ev.Tag)
	if w.live(id) == nil {
		return
	}
	w.conns.Feed(id, ev.Data)
	w.pump(id)
	w.markDirty(id)
}

// pump handles the complete queries that a connection has brought, as far as its in-flight cap allows.
func (w *worker) pump(id stream.ConnID) {
	c := w.conns.Conn(id)
	from := origin{tcp: true, conn: id, path: &c.Peer, listener: uint32(c.Listener)}
	for {
		msg, status := w.conns.Next(id)
		switch status {
		case stream.Message:
			w.handle(msg, &from)
			if w.live(id) == nil {
				return
			}
		case stream.Broken:
			w.stats.Streams[StreamBroken]++
			w.closeStream(id)
			return
		default: // needs more bytes, or must wait for answers
			return
		}
	}
}

// markDirty has a connection looked at when the turn ends.
func (w *worker) markDirty(id stream.ConnID) {
	if n := len(w.dirty); n != 0 && w.dirty[n-1] == id {
		return
	}
	if len(w.dirty) == cap(w.dirty) {
		w.tidyDirty()
	}
	w.dirty = append(w.dirty, id)
}

// tidyDirty makes room in the list: those that are in it twice, or gone, are taken out. They are not looked at here, because that would handle queries
// in the middle of another one's.
func (w *worker) tidyDirty() {
	slices.Sort(w.dirty)
	w.dirty = slices.DeleteFunc(slices.Compact(w.dirty), func(id stream.ConnID) bool { return w.live(id) == nil })
}

// flushDirty goes once over the connections that something happened to: queries that had to wait for an answer are handled, answers are
// sent, reading goes on.
func (w *worker) flushDirty() {
	for n := len(w.dirty); n > 0; n = len(w.dirty) { // settling one may mark others
		id := w.dirty[n-1]
		w.dirty = w.dirty[:n-1]
		w.settle(id)
	}
}

// settle brings one connection up to date.
func (w *worker) settle(id stream.ConnID) {
	if w.live(id) == nil {
		return
	}
	w.pump(id)
	c := w.live(id)
	if c == nil {
		return
	}
	if out := w.conns.Output(id); out != nil {
		w.eng.Send(c.Handle, out)
	}
	if w.conns.ShouldClose(id) {
		w.closeStream(id)
		return
	}
	if w.conns.WantRead(id) {
		w.eng.Recv(c.Handle)
	}
}

// streamSent goes on after a write.
func (w *worker) streamSent(ev *ring.Event) {
	id := stream.ConnID(ev.Tag)
	if w.live(id) == nil {
		return
	}
	w.conns.Sent(id)
	if ev.Errno != 0 {
		w.stats.Streams[StreamFailed]++
		w.closeStream(id)
		return
	}
	w.markDirty(id)
}

// streamEnd notes that a client will ask no more; what it is owed is still sent (RFC 7766 §6.2.3 leaves closing to us then).
func (w *worker) streamEnd(ev *ring.Event) {
	id := stream.ConnID(ev.Tag)
	if w.live(id) == nil {
		return
	}
	if ev.Errno != 0 {
		w.stats.Streams[StreamFailed]++
		w.closeStream(id)
		return
	}
	w.conns.End(id)
	w.markDirty(id)
}

// closeStream ends a connection. It may be called while its events are being handled; repeated calls do nothing.
func (w *worker) closeStream(id stream.ConnID) {
	if w.conns.Shut(id) {
		w.eng.Close(w.conns.Conn(id).Handle)
	}
}

// streamClosed frees what a connection held: its buffers may have been with the kernel until now.
func (w *worker) streamClosed(ev *ring.Event) {
	if id := stream.ConnID(ev.Tag); w.conns.Conn(id) != nil {
		w.conns.Release(id)
	}
}
