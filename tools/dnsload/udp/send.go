package udp

import (
	"golang.org/x/sys/unix"
)

// refill sends queries until the flow's window is full. Closed loop.
func (s *Sender) refill(f *flow, now int64) {
	if now >= s.plan.To || s.stopped.Load() {
		s.over = true
		return
	}
	measured := s.plan.Measured(now)
	for room := f.table.Room(); room > 0 && !s.over; room = f.table.Room() {
		limit := min(room, batchMax)
		if measured && s.plan.Count > 0 {
			limit = int(min(uint64(limit), s.plan.Count-s.counts.Queries))
		}
		n := 0
		for n < limit {
			packet := f.table.Compose(s.generator, now, now)
			if packet == nil {
				break
			}
			s.out.put(packet)
			n++
		}
		if n < limit || limit == 0 { // every name was asked, or the count is reached
			s.over = true
		}
		s.transmit(f)
		if measured {
			s.counts.Queries += uint64(n)
			s.counts.LastNs = now
		}
	}
}

// sendDue sends the queries due until now, turnMax of them at most: one that is behind its timetable reads answers too. Open loop.
func (s *Sender) sendDue(now int64) {
	if s.stopped.Load() {
		s.over = true
		return
	}
	all := s.plan.Due(min(now, s.plan.To-1))
	due := min(all, s.due+turnMax)
	full := 0
	for s.due < due && full < len(s.flows) && !s.over {
		f := &s.flows[s.nextFlow]
		if s.nextFlow++; s.nextFlow == len(s.flows) {
			s.nextFlow = 0
		}
		if f.table.Room() == 0 {
			full++
			continue
		}
		full = 0
		s.sendChunk(f, now, min(due-s.due, chunkMax, uint64(f.table.Room())))
	}
	s.full = full == len(s.flows)
	if now >= s.plan.To && (s.due == all || s.full || now >= s.plan.To+int64(catchUp)) {
		s.counts.Unsent = min(all-s.due, s.plan.Scheduled())
		s.over = true
	}
}

// sendChunk sends the next n queries of the timetable on one flow.
func (s *Sender) sendChunk(f *flow, now int64, n uint64) {
	counted := uint64(0)
	for range n {
		at := s.plan.At(s.due)
		measured := s.plan.Measured(at)
		if measured && s.plan.Count > 0 && s.counts.Queries+counted == s.plan.Count {
			s.over = true
			break
		}
		packet := f.table.Compose(s.generator, at, now)
		if packet == nil { // every name was asked
			s.over = true
			break
		}
		s.due++
		s.out.put(packet)
		if measured {
			counted++
			s.counts.Lag.Record(now - at)
		}
	}
	s.transmit(f)
	s.counts.Queries += counted
	if counted > 0 {
		s.counts.LastNs = now
	}
}

// transmit hands what is in the outbox to the kernel.
func (s *Sender) transmit(f *flow) {
	s.sent += uint64(s.out.packets)
	refusals := 0
	for from := 0; from < s.out.messages; {
		n, errno := s.out.send(f.fd, from)
		from += n
		switch errno {
		case 0, unix.EINTR:
		case unix.ECONNREFUSED: // of an earlier datagram; the call took none
			s.unreachable(s.clock.Now())
		case unix.EAGAIN, unix.ENOBUFS:
			if refusals++; refusals > refusalsMax {
				s.fail("send", errno)
				return
			}
			s.poll.doze(refusalPause)
		case unix.EIO, unix.EINVAL, unix.EMSGSIZE: // the route's device cannot cut
			if !s.out.segment {
				s.fail("send", errno)
				return
			}
			s.out.separate(from)
			from = 0
		default:
			s.fail("send", errno)
			return
		}
	}
	s.out.clear()
}
