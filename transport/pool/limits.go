package pool

import "time"

const (
	// exchangesMax is the goroutines, and so the outstanding queries, of one lane: 20,000 queries a second at 100 ms. With stack, stream
	// and buffer one takes about 20 KiB. Full: FaultFull.
	exchangesMax = 2048

	// growOutstanding is the queries on the least busy connection that make another one worth its handshake: most servers allow 100
	// streams, and further queries would wait for one to end.
	growOutstanding = 80

	// answerBytes is the room for an answer that a job starts with; answerKeepBytes the most that it keeps for the next.
	answerBytes     = 2048
	answerKeepBytes = 16 << 10

	// How often deadlines and dead connections are looked for while anything is outstanding: DeadAfter/4 within these bounds.
	sweepMin = 5 * time.Millisecond
	sweepMax = 100 * time.Millisecond

	// quicKeepAlive is how often an idle QUIC connection shows that it lives: under the 30 s after which middleboxes forget a UDP flow.
	quicKeepAlive = 15 * time.Second

	// quicIdleMax is how long a QUIC connection may hear nothing at all: two keep-alives. Queries notice sooner, by DeadAfter.
	quicIdleMax = 2 * quicKeepAlive
)
