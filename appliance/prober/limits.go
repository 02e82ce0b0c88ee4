package prober

import "time"

const (
	// closeTimeout bounds closing a client; its driver has been told to stop, and goes on without us if it takes longer.
	closeTimeout = 5 * time.Second

	// udpBytes is the size of answers over UDP that probes announce.
	udpBytes = 1232

	// labelBytes of randomness make a name that no cache holds.
	labelBytes = 8
)
