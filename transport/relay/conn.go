package relay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/doh"
	"secure-dns-proxy/transport/doq"
)

// stream is a connection that takes one message and gives those that answer it, each behind its length (RFC 1035 §4.2.2, RFC 9250 §4.2).
type stream struct {
	io.ReadWriter
	setDeadline func(time.Time) error
	finish      func() error // says that no more messages follow, where the protocol wants that
	hangUp      func()
	id          [2]byte // of the messages on it
	buf         []byte
}

// open connects to end, which is not https.
func open(ctx context.Context, end *transport.Endpoint) (*stream, error) {
	place, err := end.TakePlace(false)
	if err != nil {
		return nil, err
	}
	s, err := dial(ctx, end)
	if err != nil {
		place.Release()
		return nil, err
	}
	hangUp := s.hangUp
	stop := context.AfterFunc(ctx, func() { _ = s.setDeadline(time.Unix(1, 0)) })
	s.hangUp = func() {
		stop()
		hangUp()
		place.Release()
	}
	return s, nil
}

func dial(ctx context.Context, end *transport.Endpoint) (*stream, error) {
	var counters transport.Counters // those of the endpoint are of its lanes
	if end.Scheme == transport.QUIC {
		q, err := doq.OpenStream(ctx, end, &counters)
		if err != nil {
			return nil, err
		}
		return &stream{ReadWriter: q, setDeadline: q.SetDeadline, finish: q.Close, hangUp: q.Hangup}, nil
	}
	if end.Scheme == transport.UDP { // every server has TCP (RFC 7766 §5), and what is said over it is not lost, nor cut, nor forged
		over := *end
		over.Scheme = transport.TCP
		end = &over
	}
	conn, _, err := transport.TryAddresses(ctx, end, &counters, transport.Dialer[net.Conn]{
		Try: func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
			return transport.DialStream(ctx, end, address, "dot", false)
		},
		Discard: func(conn net.Conn) { conn.Close() },
	})
	if err != nil {
		return nil, err
	}
	s := &stream{ReadWriter: conn, setDeadline: conn.SetDeadline, finish: func() error { return nil }, hangUp: func() { conn.Close() }}
	rand.Read(s.id[:])
	return s, nil
}

// send sends the only message, within the time until at.
func (s *stream) send(ctx context.Context, message []byte, at time.Duration) error {
	if err := s.within(ctx, at); err != nil {
		return err
	}
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	framed = append(append(framed, s.id[:]...), message[2:]...)
	if _, err := s.Write(framed); err != nil {
		return err
	}
	return s.finish()
}

var errFrame = errors.New("message shorter than a DNS header, or with another id")

// receive reads the next message, within the time until at. It is valid until the next call. io.EOF: there is none.
func (s *stream) receive(ctx context.Context, at time.Duration) ([]byte, error) {
	if err := s.within(ctx, at); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(s, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < headerBytes {
		return nil, errFrame
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	msg := s.buf[:n]
	if _, err := io.ReadFull(s, msg); err != nil {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	if [2]byte(msg) != s.id {
		return nil, errFrame
	}
	return msg, nil
}

const headerBytes = 12

// within bounds what follows. The end of ctx, which ends it too, may have come before.
func (s *stream) within(ctx context.Context, at time.Duration) error {
	err := s.setDeadline(transport.Base.Add(at))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// post is a job of an https endpoint. sent: something was sent.
func post(ctx context.Context, end *transport.Endpoint, message []byte, at time.Duration) (msg []byte, sent bool, err error) {
	place, err := end.TakePlace(false)
	if err != nil {
		return nil, false, err
	}
	defer place.Release()
	ctx, cancel := context.WithTimeout(ctx, at-transport.Now())
	defer cancel()
	query := append([]byte{0, 0}, message[2:]...) // RFC 8484 §4.1
	msg, err = doh.Post(ctx, end, new(transport.Counters), query, func() { sent = true })
	if err == nil && (len(msg) < headerBytes || [2]byte(msg) != [2]byte{}) {
		err = errFrame
	}
	return msg, sent, err
}

// faultOf is what the worker is told of an error.
func faultOf(err error) transport.Fault {
	var dial *transport.DialError
	switch {
	case errors.As(err, &dial):
		return transport.FaultOf(err)
	case errors.Is(err, context.Canceled):
		return transport.FaultShutdown
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return transport.FaultTimeout
	case errors.Is(err, errFrame), errors.Is(err, errAnswer):
		return transport.FaultProtocol
	}
	return transport.FaultClosed
}
