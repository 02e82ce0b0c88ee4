package stream

// Stats is what a table has seen. Plain counters of the worker's thread, but for the gauges at the end.
type Stats struct {
	Accepted       uint64 // connections
	RefusedTotal   uint64 // refused: Config.Conns reached
	RefusedClient  uint64 // refused: Config.ConnsPerClient reached
	Messages       uint64 // handed out by Next
	Held           uint64 // times Next said TooMany
	ZeroLength     uint64 // broken: a frame of no bytes
	InputNoBuffer  uint64 // broken: no buffer for input
	Answers        uint64 // committed
	Sends          uint64 // handed out by Output: Answers / Sends is the batch
	SlowReaders    uint64 // broken: a client does not read its answers
	OutputNoBuffer uint64 // broken: no buffer for an answer
	Expired        uint64 // closed for being quiet
	Crowded        uint64 // closed for being quiet while few places were free

	Conns      int // open now
	SmallInUse int // buffers
	LargeInUse int
}

// Stats returns the counters and gauges as of now.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Conns = t.len
	s.SmallInUse = t.buffers.small.inUse()
	s.LargeInUse = t.buffers.large.inUse()
	return s
}
