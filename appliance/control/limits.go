package control

import "time"

const (
	// connsMax bounds connections to the socket. Full: further ones wait in the listener's backlog.
	connsMax = 16

	// headerBytesMax is ample for a command; more is answered 431.
	headerBytesMax = 16 << 10

	// BodyBytesMax is the longest body of a command; more is answered 413.
	BodyBytesMax = 1 << 20

	// headerTimeout and bodyTimeout are how long a caller may take to say what it wants; the connection is closed then.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second

	// CommandTimeout bounds a command: its context ends then. The connection is cut writeGrace later.
	CommandTimeout = 5 * time.Minute
	writeGrace     = 10 * time.Second

	// idleTimeout is how long a connection without a request stays open.
	idleTimeout = time.Minute

	// auditBytesMax is how much of a command's arguments the log shows.
	auditBytesMax = 512

	// PathBytesMax is what fits into the kernel's sockaddr_un with its final zero (unix(7)).
	PathBytesMax = 107

	// answerBytesMax is the longest answer that the client takes.
	answerBytesMax = 64 << 20
)
