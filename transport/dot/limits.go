package dot

import (
	"time"

	"secure-dns-proxy/transport"
)

const (
	// batchBytesMax is one TLS record of plaintext (RFC 8446 §5.1). Full: the queries stay in the lane until the writer has swapped
	// buffers; the lane full, Submit returns false.
	batchBytesMax = 16 << 10

	// readBytes takes two full records, or about 200 answers of 150 bytes, in one read. A longer message gets frameBytesMax.
	readBytes     = 32 << 10
	frameBytesMax = 2 + transport.MessageBytesMax

	// outstandingMax is the queries of one connection, those waiting out their grace included. 13 of the 16 bits of an id choose the
	// entry, so that each entry has 8 ids to use in turn. Full on all connections: FaultFull.
	outstandingMax = 1 << indexBits
	indexBits      = 13

	// chunkEntries is how many entries a table grows by: 35 KiB. A table never shrinks; it goes with its connection.
	chunkEntries = 64

	// growOutstanding is the queries on the least busy connection that make another one worth its handshake.
	growOutstanding = 64

	// retiredMax bounds the connections of a lane that finish what they owe. Full: no other one is replaced or retired before one of them has
	// ended, which takes as long as the deadline of a query at most.
	retiredMax = 16

	// theirsMargin is the part of the server's idle timeout by which we are earlier than the server: a query must still get there before it
	// closes.
	theirsMargin = 8

	// keptMin is the least idle timeout of a server that a connection kept by Prewarm is renewed for. Where it is less, the connection is
	// closed and the next query opens another: renewing would be traffic without end for nobody.
	keptMin = 5 * time.Second

	// lateGrace is how long after its deadline an id stays reserved, so that a late answer meets its own, dead, query.
	lateGrace = 5 * time.Second

	// resentMax is how often a query is sent again because its connection was closed. Used up: FaultClosed.
	resentMax = 3

	// How often deadlines and dead connections are looked for while anything is outstanding: DeadAfter/4 within these bounds.
	sweepMin = 5 * time.Millisecond
	sweepMax = 100 * time.Millisecond

	// hitsMax is how many frames are matched under one hold of the connection's lock.
	hitsMax = 64
)
