package main

import "time"

const (
	udpFlows     = 128  // per sender: enough that a hash spreads them evenly over a server's workers
	streamFlows  = 16   // connections
	closedWindow = 2048 // keeps any server here busy while the generator reads a batch

	// sourcesMax local addresses may be used. More: refused.
	sourcesMax = 65536
	// startDelay passes between the making of the plan and its start, so that every sender is there in time.
	startDelay = 5 * time.Millisecond
)
