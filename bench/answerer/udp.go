package answerer

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// enlarge asks for a large receive buffer, beyond net.core.rmem_max where it may.
func enlarge(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("UDP socket: %w", err)
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBufferBytes) != nil {
			refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, socketBufferBytes)
		}
	})
	if err := errors.Join(err, refused); err != nil {
		return fmt.Errorf("UDP receive buffer: %w", err)
	}
	return nil
}

// servePackets answers until the socket is closed.
func (s *Server) servePackets() {
	conn := ipv4.NewPacketConn(s.packets)
	in, out := make([]ipv4.Message, batchMax), make([]ipv4.Message, batchMax)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, datagramBytesMax)}
		out[i].Buffers = [][]byte{make([]byte, 0, datagramBytesMax+answerBytesMax)}
	}
	for {
		n, err := conn.ReadBatch(in, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of one datagram, such as a refusal by ICMP: the next read is about the next one
		}
		ready := 0
		for _, m := range in[:n] {
			answer, ok := appendAnswer(out[ready].Buffers[0][:0], m.Buffers[0][:m.N])
			if !ok {
				continue
			}
			out[ready].Buffers[0], out[ready].Addr = answer, m.Addr
			ready++
		}
		s.udp.Add(uint64(ready))
		for sent := 0; sent < ready; {
			n, err := conn.WriteBatch(out[sent:ready], 0)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				n = max(n, 1) // the first one was refused: its client has gone, leave it out
			}
			sent += n
		}
	}
}
