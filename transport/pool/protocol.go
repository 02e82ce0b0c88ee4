package pool

import (
	"context"
	"net/netip"
	"time"

	"secure-dns-proxy/transport"
)

// Protocol makes connections. Dial is called by several goroutines at a time, one for each address; Close comes last, after all connections
// are closed.
type Protocol interface {
	// Dial connects to address before ctx ends. The Conn is a Starter or an Exchanger.
	Dial(ctx context.Context, address netip.AddrPort) (Conn, error)
	Close()
}

// Conn is one connection. All methods are for any goroutine.
type Conn interface {
	// Resumed reports whether the TLS session was.
	Resumed() bool
	// Ended is closed when the connection can be used no longer.
	Ended() <-chan struct{}
	// Reason says why, after that. Orderly: closed by us, or by the server, in a way that reflects on nobody.
	Reason() (orderly bool, err error)
	// Close ends the connection with all its streams. It does not block for long, and can be repeated.
	Close()
}

// Exchanger is a Conn that takes a goroutine for each exchange.
type Exchanger interface {
	Conn
	// Exchange sends a query on a stream of its own and waits for the answer until ctx ends. framed is the 2-byte length and the query,
	// with id 0; the answer is appended to buf, which may move. Both stay the caller's.
	Exchange(ctx context.Context, framed, buf []byte) Result
}

// Starter is a Conn that needs no goroutine of ours for an exchange.
type Starter interface {
	Conn
	// Start begins an exchange and does not block. It owes the call a Finish, from any goroutine, before Ended is closed at the latest;
	// Finish may come before Start returns.
	Start(c *Call)
	// Expire finishes, as Expired, every call whose deadline is at or before now. The driver calls it again and again.
	Expire(now time.Duration)
	// Cancel finishes, with the outcome given, the call with slot and gen, if it is outstanding here. It reports whether it was.
	Cancel(slot, gen uint32, as Outcome) bool
	// Recall takes back every call that was started and not finished: the connection forgets them, and owes them nothing.
	Recall() []*Call
	// Stalled reports whether calls are outstanding and the server has shown no sign of life for after, or longer where the
	// connection knows that its path is slower than that.
	Stalled(now, after time.Duration) bool
	// Ready is closed when the server has proved who it is, if ever: a Conn may be given out, and used, before that.
	Ready() <-chan struct{}
}

// Outcome is what a Result is about.
type Outcome uint8

const (
	Answered Outcome = iota // Answer holds a message
	Declined                // this query failed with Fault; the connection is as good as before
	Refused                 // the server did not look at this query, but it may be sent again; the connection is as good as before
	Closing                 // the connection takes no more queries; this one may be sent again on another
	Lost                    // the connection failed under the query
	Expired                 // it had its time in vain
	Unwanted                // nobody waits for it any more, though it had no time to speak of: it says nothing of the connection
)

// Result is the outcome of an exchange.
type Result struct {
	Outcome Outcome
	Fault   transport.Fault // of Declined
	Answer  []byte          // of Answered
}
