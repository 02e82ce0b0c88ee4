package transport

import (
	"errors"
	"io"
	"syscall"
)

// ClosedByPeer reports whether err, from a read or write on a stream, means that the server closed it. A reset counts: it is what
// an orderly close looks like when our query was on its way (RFC 7766 §6.2.4 speaks of exactly these).
func ClosedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
