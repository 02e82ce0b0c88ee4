package answerer

import (
	"encoding/binary"
	"net"
	"sync/atomic"
)

// serveStreams accepts until the listener is closed.
func (s *Server) serveStreams(l net.Listener, count *atomic.Uint64) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go serveStream(conn, count)
	}
}

// serveStream answers all whole queries of a read (RFC 1035 §4.2.2 framing) by one write.
func serveStream(conn net.Conn, count *atomic.Uint64) {
	defer conn.Close() // nobody is left to tell
	in, held := make([]byte, streamBytes), 0
	var out []byte
	for {
		n, err := conn.Read(in[held:])
		held += n
		rest, queries := in[:held], uint64(0)
		out = out[:0]
		for len(rest) >= 2 {
			end := 2 + int(binary.BigEndian.Uint16(rest))
			if len(rest) < end {
				break
			}
			frame := len(out)
			answered, ok := appendAnswer(append(out, 0, 0), rest[2:end])
			if !ok {
				return
			}
			out = answered
			binary.BigEndian.PutUint16(out[frame:], uint16(len(out)-frame-2))
			rest = rest[end:]
			queries++
		}
		held = copy(in, rest)
		count.Add(queries)
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
		if err != nil || held == len(in) {
			return
		}
	}
}
