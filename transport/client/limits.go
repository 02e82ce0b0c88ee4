package client

import "time"

const (
	// outstandingMax is how many questions of one client may be without an answer. Full: Exchange fails at once.
	outstandingMax = 16

	// queueBytes of queries are 16 of 512 bytes with their headers, rounded up.
	queueBytes = 16 << 10

	// answerBytes is the least that a lane takes: two of the largest messages beside room for faults.
	answerBytes = 256 << 10

	// idleTimeout is how long a connection stays open after the last answer: a second question of the same errand comes within it.
	idleTimeout = 10 * time.Second

	// datagramBytes is the room for an answer over UDP. No server sends more than was announced to it, and we announce 1232.
	datagramBytes = 4096
)
