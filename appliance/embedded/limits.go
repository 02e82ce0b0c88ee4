package embedded

import "time"

const (
	// streamsMax is how many queries one QUIC connection may have open. Reached: the client waits for one to end (RFC 9000 §4.6).
	streamsMax = 4096

	// idleTimeout closes connections that nobody uses; the proxy's own default is to close them first.
	idleTimeout = 2 * time.Minute

	// streamTimeout bounds reading one query from, and writing one answer to, a QUIC stream.
	streamTimeout = 5 * time.Second

	// handshakeTimeout bounds a client that connects and says nothing.
	handshakeTimeout = 5 * time.Second

	// chainMax is how many CNAMEs of the zone are followed; it holds no longer chain.
	chainMax = 8

	// certificateLife outlasts any process: nothing renews it.
	certificateLife = 10 * 365 * 24 * time.Hour
)
