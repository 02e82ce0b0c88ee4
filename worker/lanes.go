package worker

import (
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// laneRef is a lane with the upstream that it serves.
type laneRef struct {
	lane     *transport.Lane
	upstream *upstream
}

// lanesPending reports whether any lane has something for this worker: one atomic load each.
func (w *worker) lanesPending() bool {
	for i := range w.lanes {
		if w.lanes[i].lane.Pending() {
			return true
		}
	}
	return w.relays.link != nil && w.relays.link.line.Pending() || w.active.tier != nil && w.active.tier.line.Pending() || w.active.inspect != nil && w.active.inspect.line.Pending()
}

// receiveLanes takes what the lanes have brought, at most laneBatch answers from each so that no lane holds up the turn.
func (w *worker) receiveLanes() {
	for i := 0; i < len(w.lanes); i++ { // laneReply may let a retired lane go: the length is read anew
		ref := w.lanes[i]
		for range laneBatch {
			r, ok := ref.lane.Receive()
			if !ok {
				break
			}
			w.busy = true
			w.laneReply(ref.upstream, &r)
		}
	}
	if w.active.tier != nil {
		w.receiveTier()
	}
	if w.active.inspect != nil {
		w.receiveVerdicts()
	}
	if w.relays.link != nil {
		w.receiveRelays()
	}
}

// flushLanes publishes the queries of this turn and wakes the writers that sleep.
func (w *worker) flushLanes() {
	for i := range w.lanes {
		w.lanes[i].lane.Flush()
	}
	if w.active.tier != nil {
		w.active.tier.line.Flush()
	}
	if w.active.inspect != nil {
		w.active.inspect.line.Flush()
	}
	if w.relays.link != nil {
		w.relays.link.line.Flush()
	}
}

// laneReply handles one answer or failure that a lane reports.
func (w *worker) laneReply(u *upstream, r *transport.Reply) {
	s := w.table.Live(r.Slot, r.Gen)
	if s == nil {
		if r.Fault == transport.FaultNone {
			u.stats.Rejected++ // too late: the query was answered or given up
		}
		return
	}
	if r.Fault != transport.FaultNone {
		w.failed(r.Slot, u, r.Fault)
		return
	}
	if fault := wire.ParseResponse(r.Msg, w.questionOf(s), &w.answer, &w.scratch); fault != wire.FaultNone {
		u.stats.Rejected++
		w.failed(r.Slot, u, transport.FaultProtocol)
		return
	}
	w.answered(r.Slot, u)
}
