package pool

import "time"

const (
	// callsMax is the calls, and so the outstanding queries, of one lane: as many as a lane allows by default. One takes about 3 KiB with
	// its stream. Full: FaultFull.
	callsMax = 8192

	// residentsMax is the goroutines of one lane whose connections need one for each exchange: 20,000 queries a second at 100 ms. With
	// stack, stream and buffer one takes about 20 KiB. Full: FaultFull.
	residentsMax = 2048

	// residentsIdle is how long they stay when there is nothing to do.
	residentsIdle = 5 * time.Second

	// growOutstanding is the queries on the least busy connection that make another one worth its handshake: most servers allow 100
	// streams, and further queries would wait for one to end.
	growOutstanding = 80

	// answerBytes is the room for an answer that a resident starts with; answerKeepBytes the most that it keeps for the next.
	answerBytes     = 2048
	answerKeepBytes = 16 << 10

	// stallShare is the part of DeadAfter for which a server may show no sign of life, with queries outstanding, before another
	// connection is made to take over. The old one is used on until the new one is up, or DeadAfter has passed.
	stallShare = 4

	// leavingMax is the retired connections of a lane that still owe answers. Full: nothing is replaced, and the old ones go on.
	leavingMax = 4

	// idleShare is the part of QUIC's idle time after which a connection without keep-alives is closed: near its end the server may have
	// forgotten it (RFC 9250 §4.4).
	idleShare = 2

	// How often deadlines and dead connections are looked for while anything is outstanding: DeadAfter/4 within these bounds.
	sweepMin = 5 * time.Millisecond
	sweepMax = 100 * time.Millisecond

	// tokensMax is the address validation tokens that are kept for one server, each good for one connection.
	tokensMax = 4
)
