package pool

import (
	"context"
	"net/netip"

	"secure-dns-proxy/transport"
)

// Protocol makes connections. Dial is called by several goroutines at a time, one for each address; Close comes last, after all connections
// are closed.
type Protocol interface {
	// Dial connects to address and completes the handshake before ctx ends.
	Dial(ctx context.Context, address netip.AddrPort) (Conn, error)
	Close()
}

// Conn is one connection. All methods are for any goroutine.
type Conn interface {
	// Exchange sends a query on a stream of its own and waits for the answer until ctx ends. framed is the 2-byte length and the query,
	// with id 0; the answer is appended to buf, which may move. Both stay the caller's.
	Exchange(ctx context.Context, framed, buf []byte) Result
	// Resumed reports whether the TLS session was.
	Resumed() bool
	// Ended is closed when the connection can be used no longer.
	Ended() <-chan struct{}
	// Reason says why, after that. Orderly: closed by us, or by the server, in a way that reflects on nobody.
	Reason() (orderly bool, err error)
	// Close ends the connection with all its streams. It does not block for long, and can be repeated.
	Close()
}

// Outcome is what a Result is about.
type Outcome uint8

const (
	Answered Outcome = iota // Answer holds a message
	Declined                // this query failed with Fault; the connection is as good as before
	Refused                 // the server did not look at this query, but it may be sent again; the connection is as good as before
	Closing                 // the connection takes no more queries; this one may be sent again on another
	Lost                    // the connection failed under the query
	Expired                 // ctx ended first
)

// Result is the outcome of an exchange.
type Result struct {
	Outcome Outcome
	Fault   transport.Fault // of Declined
	Answer  []byte          // of Answered
}
