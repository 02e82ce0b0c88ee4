package main

import "time"

const (
	udpFlows     = 128  // per sender: enough that a hash spreads them evenly over a server's workers
	streamFlows  = 16   // connections
	closedWindow = 2048 // keeps any server here busy while the generator reads a batch

	// sourcesMax local addresses may be used. More: refused.
	sourcesMax = 65536
	// setupTime passes between the making of the plan and its start, for the senders to open their sockets: setupTimePerFlow
	// is several times what one takes, and a late sender only shortens the warm-up.
	setupTime        = 20 * time.Millisecond
	setupTimePerFlow = 100 * time.Microsecond
)
