package doh

import "time"

const (
	// headerBytesMax bounds the header of a response. More: the stream is reset and the query fails with FaultProtocol.
	headerBytesMax = 16 << 10

	// readChunk is how far the buffer for an answer grows at a time, if the server did not announce the size.
	readChunk = 2048

	// bodyBytes is the room for a query in the body of a request: one block of padding (RFC 8467 §4.1), which most fill. A longer one gets
	// memory of its own.
	bodyBytes = 128

	// streamWindow is the HTTP/2 flow control window of one response: twice the largest DNS message, so that a good server never waits for us, and
	// one without end stops there. connWindow is that of all responses of a connection together: 1000 of 2 KiB. Full: the server waits.
	streamWindow = 128 << 10
	connWindow   = 2 << 20

	// serverStreamsMax is the unidirectional streams that a server may open: control, QPACK encoder and decoder (RFC 9114 §6.2, RFC 9204
	// §4.2), and some of the kinds that must be ignored. More: QUIC does not let it.
	serverStreamsMax = 8

	// retryAfterMax bounds the pause that a server may ask for with Retry-After. A longer one is cut.
	retryAfterMax = 30 * time.Second

	// headStart is how long a dial gives HTTP/3 before it starts HTTP/2 beside it: the delay between connection attempts of RFC 8305 §5.
	headStart = 250 * time.Millisecond

	// After a failure HTTP/3 is left alone for a minute, doubling to an hour while it keeps failing.
	restMin = time.Minute
	restMax = time.Hour

	// restLeft is how long HTTP/3 is left alone after the server closed a connection in good order (GOAWAY).
	restLeft = 2 * time.Second

	// altSvcAgeDefault is how long an alternative is good if the server does not say (RFC 7838 §3.1); a longer time than altSvcAgeMax
	// counts as that.
	altSvcAgeDefault = 24 * time.Hour
	altSvcAgeMax     = 7 * 24 * time.Hour
)
