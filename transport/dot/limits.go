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

	// lateGrace is how long after its deadline an id stays reserved, so that a late answer meets its own, dead, query.
	lateGrace = 5 * time.Second

	// How often deadlines and dead connections are looked for while anything is outstanding: DeadAfter/4 within these bounds.
	sweepMin = 5 * time.Millisecond
	sweepMax = 100 * time.Millisecond

	// hitsMax is how many frames are matched under one hold of the connection's lock.
	hitsMax = 64
)
