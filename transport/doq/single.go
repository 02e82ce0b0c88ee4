package doq

import (
	"context"

	"github.com/quic-go/quic-go"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// Stream is a stream on a connection of its own, for a message that has no place among queries: of another opcode, longer, or with several
// responses (RFC 9250 §4.2). Framing is the caller's, and so is that ids are 0 (§4.2.1).
type Stream struct {
	*quic.Stream
	conn   *quic.Conn
	dialer *pool.QUIC
}

// OpenStream connects to end, a quic endpoint, without 0-RTT: what is sent cannot be replayed. The caller owes the stream a Hangup.
func OpenStream(ctx context.Context, end *transport.Endpoint, c *transport.Counters) (*Stream, error) {
	dialer := pool.NewQUIC(end, "doq")
	hangUp := func(q *quic.Conn) { q.CloseWithError(codeNoError, "") }
	q, _, err := transport.TryAddresses(ctx, end, c, transport.Dialer[*quic.Conn]{Try: dialer.Dial, Discard: hangUp})
	if err != nil {
		dialer.Close()
		return nil, err
	}
	stream, err := q.OpenStreamSync(ctx)
	if err != nil {
		hangUp(q)
		dialer.Close()
		return nil, err
	}
	return &Stream{Stream: stream, conn: q, dialer: dialer}, nil
}

// Hangup gives up what is not answered yet, and closes the connection.
func (s *Stream) Hangup() {
	s.CancelRead(codeRequestCancelled)
	s.CancelWrite(codeRequestCancelled)
	s.conn.CloseWithError(codeNoError, "")
	s.dialer.Close()
}
