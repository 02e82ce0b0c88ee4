package telemetry

import "time"

const (
	// httpConnsMax bounds connections to the metrics listener. Full: further ones wait in the listener's backlog.
	httpConnsMax = 16

	// headerBytesMax is ample for a scrape; more is answered 431.
	headerBytesMax = 16 << 10

	// Times after which a connection to the metrics listener is closed.
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)
