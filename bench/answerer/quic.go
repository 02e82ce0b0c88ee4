package answerer

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

func listenQUIC(certificate tls.Certificate) (*quic.Listener, error) {
	l, err := quic.ListenAddr("127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"doq"}, MinVersion: tls.VersionTLS13},
		&quic.Config{MaxIncomingStreams: streamsMax, MaxIdleTimeout: idleTimeout})
	if err != nil {
		return nil, fmt.Errorf("listen for QUIC: %w", err)
	}
	return l, nil
}

// serveQUIC accepts until the listener is closed.
func (s *Server) serveQUIC(ctx context.Context) {
	for {
		conn, err := s.quics.Accept(ctx)
		if err != nil {
			return
		}
		p := &questions{arrived: make(chan struct{}, 1)}
		go p.accept(ctx, conn)
		go s.serveQuestions(conn, p)
	}
}

// questions are the streams of one connection whose end has come: they wait to be answered together, so that a packet takes as many
// answers as it can, as a write does over TCP and TLS. A goroutine for each stream would make a packet of each answer.
type questions struct {
	arrived chan struct{} // streams is not empty
	mu      sync.Mutex
	streams []*quic.Stream
}

func (q *questions) accept(ctx context.Context, conn *quic.Conn) {
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return // the connection has ended
		}
		stream.SetReceiveFinalSizeCallback(func(int64) { q.add(stream) })
	}
}

// add is called by accept, or by quic-go's loop: it must not block.
func (q *questions) add(stream *quic.Stream) {
	q.mu.Lock()
	q.streams = append(q.streams, stream)
	q.mu.Unlock()
	select {
	case q.arrived <- struct{}{}:
	default:
	}
}

// serveQuestions answers all that have arrived meanwhile, again and again. What it writes is only queued: it leaves when this goroutine
// waits.
func (s *Server) serveQuestions(conn *quic.Conn, q *questions) {
	var streams []*quic.Stream
	for {
		select {
		case <-q.arrived:
		case <-conn.Context().Done():
			return
		}
		q.mu.Lock()
		streams, q.streams = q.streams, streams[:0]
		q.mu.Unlock()
		for _, stream := range streams {
			s.serveQuery(stream)
		}
	}
}

// doqProtocolError is DOQ_PROTOCOL_ERROR of RFC 9250 §8.4.
const doqProtocolError = 2

// serveQuery answers the one query of a stream that has ended: a 2-byte length and the message (RFC 9250 §4.2). If a part of it is missing,
// after a loss, a goroutine waits for that.
func (s *Server) serveQuery(stream *quic.Stream) {
	stream.SetReadDeadline(time.Now().Add(gapWait))
	in, err := io.ReadAll(io.LimitReader(stream, 2+queryBytesMax))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		go func() {
			stream.SetReadDeadline(time.Time{})
			rest, err := io.ReadAll(io.LimitReader(stream, 2+queryBytesMax))
			s.reply(stream, append(in, rest...), err)
		}()
		return
	}
	s.reply(stream, in, err)
}

// reply ends a stream with the answer to what was read from it, or resets it.
func (s *Server) reply(stream *quic.Stream, in []byte, err error) {
	if err == nil {
		err = s.answerQuery(stream, in)
	}
	if err != nil {
		stream.CancelRead(doqProtocolError)
		stream.CancelWrite(doqProtocolError)
	}
}

func (s *Server) answerQuery(stream *quic.Stream, in []byte) error {
	if len(in) < 2 || len(in)-2 != int(binary.BigEndian.Uint16(in)) {
		return errors.New("frame of another length than its stream")
	}
	out, ok := appendAnswer(make([]byte, 2, len(in)+answerBytesMax), in[2:])
	if !ok {
		return errors.New("not a query")
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	s.quic.Add(1)
	if _, err := stream.Write(out); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return stream.Close()
}
