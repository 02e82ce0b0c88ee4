package stream

import "time"

const (
	// ConnsMax bounds Config.Conns: what a ConnID can number, less the spare numbers. Full: Accept says RefusedTotal, the caller closes.
	ConnsMax = 1<<indexBits - 1 - connsSpare

	// connsSpare numbers are free even when all connections are in use. Free numbers are reused in turn, so a number comes back after
	// 1024 others at the earliest and a ConnID comes back after 67 million connections: no late answer can reach a stranger.
	connsSpare = 1024

	// roomShare: one place in so many is kept free for new connections by closing quiet ones (Crowded); a table with fewer places keeps none, and
	// is full when it is full.
	roomShare = 32

	// crowdedLooks is how many connections Crowded looks at: where so many of the oldest have queries under way, they are not the trouble.
	crowdedLooks = 16

	// crowdedGrace is how long a connection must have been quiet, since it came or since its last query or answer, before it makes room for others: a
	// query follows its handshake at once, and lies in the socket until the worker's next turns. Who wants to have clients refused must fill the table
	// anew in each such time: 20,000 connections a second at the default size, by 16 addresses at least.
	crowdedGrace = 200 * time.Millisecond

	// InFlightMax bounds Config.InFlightPerConn. Reached: Next says TooMany.
	InFlightMax = 4096

	// Idle timeouts that make sense: RFC 7766 §6.2.3 recommends some seconds, and less under load; beyond an hour a connection is a leak.
	IdleTimeoutMin = 100 * time.Millisecond
	IdleTimeoutMax = time.Hour

	// messageBytesMax is what 2 bytes of length can say; frameBytesMax is the same with them.
	messageBytesMax = 1<<16 - 1
	frameBytesMax   = headerBytes + messageBytesMax
	headerBytes     = 2

	// BufferSmallBytes holds a query, or some thirty answers to be sent at once.
	BufferSmallBytes = 4 << 10

	// BufferLargeBytes holds one message of any size behind outputPauseBytes of answers, in one buffer.
	BufferLargeBytes = frameBytesMax + outputPauseBytes

	// outputPauseBytes waiting behind a send that is under way stop the reading of further queries, so a client that pipelines cached
	// answers faster than it reads them is slowed down and not closed. Together with the lines above: a multiple of the page size.
	outputPauseBytes = 16<<10 - 1

	// Pool bounds: 512 MiB of small, 640 MiB of large buffers. Empty: a message that must be kept makes its connection Broken; an
	// answer that finds no room makes Reserve say nil. Both close one connection and are counted.
	PoolSmallMax = 1 << 17
	PoolLargeMax = 1 << 13

	// inputReserve: one part in so many of each pool is kept for answers, so that half messages alone cannot silence the others.
	inputReserve = 4
)

// Default sizes, for a worker of an appliance. Memory is used as connections use it; when all is in use at the same time:
//
//	conns     4096 and the spare, 112 B each; 8192 entries of clients, 16 B each    0.7 MiB
//	small     4096 half messages or answers, and the quarter for answers           21.3 MiB
//	large     64 big answers or big queries at a time                               5.0 MiB
func Defaults() Config {
	const conns = 4096
	return Config{
		Conns:           conns,
		ConnsPerClient:  128, // A resolver farm behind one address; a single host needs a handful.
		InFlightPerConn: 128, // What a pipelining forwarder keeps open; its next query waits in its socket.
		IdleTimeout:     10 * time.Second,
		PoolSmall:       conns * inputReserve / (inputReserve - 1),
		PoolLarge:       64,
	}
}
