package answerer

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
		go func() {
			for {
				stream, err := conn.AcceptStream(ctx)
				if err != nil {
					return // the connection has ended
				}
				go s.serveQuery(stream)
			}
		}()
	}
}

// doqProtocolError is DOQ_PROTOCOL_ERROR of RFC 9250 §8.4.
const doqProtocolError = 2

// serveQuery answers the one query of a stream: a 2-byte length and the message (RFC 9250 §4.2).
func (s *Server) serveQuery(stream *quic.Stream) {
	if err := s.answerQuery(stream); err != nil {
		stream.CancelRead(doqProtocolError)
		stream.CancelWrite(doqProtocolError)
	}
}

func (s *Server) answerQuery(stream *quic.Stream) error {
	in, err := io.ReadAll(io.LimitReader(stream, 2+queryBytesMax))
	if err != nil {
		return fmt.Errorf("read query: %w", err)
	}
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
