package udp

import (
	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/pending"
)

// serve reads all that a flow has, and in closed loop sends as many queries as there is room for again.
func (s *Sender) serve(f *flow) {
	for range roundsMax {
		most := min(batchMax, max(1, f.table.Len()))
		n, errno := s.in.receive(f.fd, most)
		now, answered := s.clock.Now(), s.answered
		for i := range n {
			s.judge(f, s.in.message(i), now)
		}
		s.heard += n
		if !s.open && !s.over && n > 0 {
			s.refill(f, now)
		}
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.ECONNREFUSED:
			s.unreachable(now)
		case errno != 0 && errno != unix.EINTR:
			s.fail("receive", errno)
			return
		case n < most, n < batchMax && s.answered-answered == uint64(n): // more can come by now, or datagrams that answer nothing
			return
		}
	}
}

func (s *Sender) judge(f *flow, msg []byte, now int64) {
	verdict, at := f.table.Judge(msg)
	if verdict != pending.Answer {
		if s.plan.Measured(now) {
			s.counts.Verdicts[verdict]++
		}
		return
	}
	s.answered++
	if s.plan.Measured(at) {
		s.counts.Verdicts[verdict]++
		s.counts.Answer(msg, now-at)
		s.counts.LastNs = now
	}
}
