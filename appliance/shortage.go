package appliance

import (
	"log/slog"

	"secure-dns-proxy/worker"
)

// shortageLog writes a line when clients begin to be turned away because something that can be configured has run out, with what can be
// done, and one when that is over.
type shortageLog struct {
	log      *slog.Logger
	before   worker.Stats
	lackings [len(shortages)]lacking
}

// lacking is what was logged of one shortage.
type lacking struct {
	active bool
	quiet  int // intervals since the last event
	events uint64
}

// shortages are what can run out, each with the counter that shows it.
var shortages = [...]struct {
	text, advice string
	count        func(*worker.Stats) uint64
}{
	{
		"connections of clients are not accepted: out of file descriptors", "raise LimitNOFILE (systemd) or ulimit -n; see sdp_tcp_connection_events_total",
		func(s *worker.Stats) uint64 { return s.Streams[worker.StreamAcceptFailed] },
	},
	{
		"connections of clients are closed at once: as many are open as may be", "raise tcp.max_connections, or lower tcp.idle_timeout",
		func(s *worker.Stats) uint64 { return s.Streams[worker.StreamRefusedTotal] },
	},
	{
		"quiet connections of clients are closed early to make room for new ones", "raise tcp.max_connections, or lower tcp.max_connections_per_client",
		func(s *worker.Stats) uint64 { return s.Streams[worker.StreamCrowded] },
	},
	{
		"queries get SERVFAIL at once: as many wait for upstreams as may", "look at the upstreams first (sdp_upstream_duration_seconds); then raise workers.in_flight and waiters",
		func(s *worker.Stats) uint64 { return s.Shed },
	},
}

// see takes in the figures of an interval's end. A shortage is over when it has not shown for shortageQuiet intervals.
func (l *shortageLog) see(now worker.Stats) {
	for i := range shortages {
		s, state := &shortages[i], &l.lackings[i]
		fresh := s.count(&now) - s.count(&l.before)
		state.events += fresh
		state.quiet++
		switch {
		case fresh > 0 && !state.active:
			*state = lacking{active: true, events: fresh}
			l.log.Warn(s.text, "events", fresh, "advice", s.advice)
		case fresh > 0:
			state.quiet = 0
		case state.active && state.quiet >= shortageQuiet:
			l.log.Info("over: "+s.text, "events", state.events)
			*state = lacking{}
		}
	}
	l.before = now
}
