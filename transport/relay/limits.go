package relay

import "time"

const (
	// PlacesMax is how many jobs of one worker may be under way. Full: the request is answered SERVFAIL and counted.
	PlacesMax = 64

	// TransfersMax is how many of them may be zone transfers: each may take an hour. Full: the request is answered SERVFAIL and counted.
	TransfersMax = 16

	// TransferIdle is how long a transfer waits for its upstream's next message, and for its client to read the last one. Over: it has failed, or its client is cut off.
	TransferIdle = 30 * time.Second

	// TransferTime is how long a transfer may take. Over: it has failed.
	TransferTime = time.Hour

	// queueBytes holds a Start or More and a Stop for each place, 64 bytes each, as a power of two.
	queueBytes = 16 << 10

	// answerBytes holds sixteen of the largest messages, and more of any other length. Full: the goroutine that has one waits, and then gives its job up (FaultFull).
	answerBytes = 1 << 20
)

const _ = uint(queueBytes - 2*64*PlacesMax)
