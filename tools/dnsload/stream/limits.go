package stream

import (
	"time"

	"secure-dns-proxy/tools/dnsload/pending"
	"secure-dns-proxy/tools/dnsload/query"
)

const (
	// ConnsMax connections of one sender. More: the run is refused.
	ConnsMax = 4096
	// OutstandingPerConnMax: see package pending. A larger window needs more connections.
	OutstandingPerConnMax = pending.OutstandingMax

	// writeQueries go into one write: about 14 KiB of typical queries, one TLS record.
	writeQueries = 256
	writeBytes   = writeQueries * (2 + query.PacketBytesMax)
	// readBytes hold at least one message of the largest size, 2 + 65535, so a read always has room.
	readBytes = 128 << 10

	// tick is how often lost queries are looked for and counts shown.
	tick = 10 * time.Millisecond
	// dialTimeout bounds connect and handshake; after dialsMax failures in a row, dialPause apart, the run fails.
	dialTimeout = 5 * time.Second
	dialsMax    = 10
	dialPause   = 50 * time.Millisecond
	// dialsAtOnce connections are opened at a time before the run.
	dialsAtOnce = 16
	// writeTimeoutMin is how long one write may take at least; else the query timeout. After it the connection is given up.
	writeTimeoutMin = time.Second
)

const _ = uint(readBytes - 2 - 65535)
