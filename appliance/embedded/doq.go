package embedded

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// Error codes of RFC 9250 §4.3.
const (
	doqNoError       = 0x0
	doqProtocolError = 0x2
)

func (s *Server) startDoQ(certificate tls.Certificate) error {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("embedded DoQ: %w", err)
	}
	s.socket = socket
	s.doqAddr = socket.LocalAddr().(*net.UDPAddr).AddrPort()
	s.quic = &quic.Transport{Conn: socket}
	s.doq, err = s.quic.Listen(
		&tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"doq"}, MinVersion: tls.VersionTLS13},
		&quic.Config{MaxIncomingStreams: streamsMax, MaxIncomingUniStreams: -1, MaxIdleTimeout: idleTimeout, HandshakeIdleTimeout: handshakeTimeout})
	if err != nil {
		return fmt.Errorf("embedded DoQ: %w", err)
	}
	s.running.Go(s.acceptDoQ)
	return nil
}

// acceptDoQ ends when the listener is closed and its queue is empty.
func (s *Server) acceptDoQ() {
	for {
		conn, err := s.doq.Accept(context.Background())
		if err != nil {
			return
		}
		s.running.Go(func() { s.serveConn(conn) })
	}
}

// serveConn ends when the connection does, or when stop is called: it then tells the peer.
func (s *Server) serveConn(conn *quic.Conn) {
	for {
		stream, err := conn.AcceptStream(s.life)
		if err != nil {
			_ = conn.CloseWithError(doqNoError, "server stops") // nothing happens where the peer closed it
			return
		}
		s.running.Go(func() {
			if err := s.serveStream(stream); err != nil {
				// What the peer sees is the code; a demo keeps no record of broken clients.
				_ = conn.CloseWithError(doqProtocolError, err.Error())
			}
		})
	}
}

// serveStream answers the one query of a stream (RFC 9250 §4.2). An error means that the peer broke the protocol.
func (s *Server) serveStream(stream *quic.Stream) error {
	if err := stream.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
		return nil // the connection is gone
	}
	frame, err := io.ReadAll(io.LimitReader(stream, 2+dns.MaxMsgSize+1))
	if err != nil {
		stream.CancelRead(doqNoError)
		stream.CancelWrite(doqNoError)
		return nil // the peer gave up, or was too slow: its own affair
	}
	if len(frame) < 2 || int(binary.BigEndian.Uint16(frame)) != len(frame)-2 {
		return fmt.Errorf("stream of %d bytes is not one framed query", len(frame))
	}
	query := new(dns.Msg)
	if err := query.Unpack(frame[2:]); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if query.Id != 0 { // RFC 9250 §4.2.1
		return fmt.Errorf("message id %d, must be 0", query.Id)
	}
	reply := s.reply(query)
	if reply == nil {
		return fmt.Errorf("a response where a query belongs")
	}
	message, err := reply.Pack()
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	frame = append(binary.BigEndian.AppendUint16(frame[:0], uint16(len(message))), message...)
	if _, err := stream.Write(frame); err != nil {
		return nil // the peer has left
	}
	_ = stream.Close() // fails only if the peer has left
	return nil
}
