package doq

import (
	"time"

	"secure-dns-proxy/transport"
)

const (
	// waitingMax is the calls of one connection that wait for a stream: as many as a lane has outstanding, so that a burst waits as it does
	// over DoT. Full, or hopeless by the rate at which streams come: FaultFull, and the worker asks another upstream.
	waitingMax = transport.OutstandingDefault

	// readBytes is the reader's buffer, for nearly every answer; for longer ones it takes the largest message, once.
	readBytes = 4 << 10

	// gapWait is how long the reader waits for a part of an answer that was lost on the way, before it leaves that to a goroutine.
	gapWait = time.Millisecond

	// stallPTOs is how many probe timeouts (RFC 9002 §6.2.1) without a sign of life make a stall, if that is longer than the driver asks for.
	stallPTOs = 3

	// maxAckDelay is what a server may delay an ACK by unless it says otherwise (RFC 9000 §18.2).
	maxAckDelay = 25 * time.Millisecond
)
