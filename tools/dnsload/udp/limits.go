package udp

import (
	"time"

	"secure-dns-proxy/tools/dnsload/pending"
)

const (
	// FlowsMax is the number of sockets of one sender. More: the run is refused.
	FlowsMax = 4096
	// OutstandingPerFlowMax: see package pending. A larger window needs more flows.
	OutstandingPerFlowMax = pending.OutstandingMax

	// batchMax datagrams are sent or received by one system call.
	batchMax = 64
	// chunkMax queries go to one flow before the next has its turn in open loop. At low rates a flow gets one.
	chunkMax = 16
	// catchUp is for how long after its end a run in open loop goes on sending what was due before: a pause of the machine at the end is charged
	// as any other, and a rate that the sender cannot keep is not.
	catchUp = 10 * time.Millisecond
	// turnMax queries are sent in one turn in open loop, at most. What is due beyond them is sent in the next.
	turnMax = 512
	// readBytes of an answer are looked at: header and the longest question, 271 bytes, and no more.
	readBytes = 320
	// readyMax flows are reported by one epoll_wait; the others are by the next.
	readyMax = 256
	// roundsMax batches are read from one flow before the next has its turn.
	roundsMax = 16
	// bufferBytes is asked for each socket's receive buffer. A flow's answers fit: OutstandingPerFlowMax of them, each
	// charged about 1 KiB.
	bufferBytes = 1 << 20

	// tick is how often counts are shown and, in closed loop, lost queries are looked for: they are declared lost at most this late. In open
	// loop nothing waits for that, and a flood's are many: every lossShare-th part of the timeout.
	tick      = 10 * time.Millisecond
	lossShare = 10
	// refusalPause and refusalsMax: when the kernel has no room for a datagram the sender waits and tries again, for a
	// second in all; then the run fails, as its figures would mean nothing.
	refusalPause = 50 * time.Microsecond
	refusalsMax  = 20000

	// sweepRate in open loop, queries/s of one sender, leaves no time to sleep in: more are due before a thread would wake.
	sweepRate = 100_000
	// dozeWindow is the smallest window with which the sender reads socket after socket, and dozes, dozePause for how long. At 400,000 queries/s 20 queries
	// are answered in one pause, so a window of 256 never runs dry.
	dozeWindow = 256
	dozePause  = 50 * time.Microsecond
	// shortWait is the longest wait that the Go scheduler is not told of.
	shortWait = time.Millisecond
	// emptyMax flows in a row that have nothing end a sweep.
	emptyMax = 8
	// dozeShare: the sender dozes when a sweep brought less than this part of the window.
	dozeShare = 16
)
