package transport

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// QUICVersion is a version number as it stands in a packet.
type QUICVersion uint32

const (
	QUICv1 QUICVersion = 0x1        // RFC 9000
	QUICv2 QUICVersion = 0x6b3343cf // RFC 9369
)

// QUICSettings is what connections over QUIC are told. The zero value of each field means the default in limits.go.
type QUICSettings struct {
	Versions []QUICVersion // offered, the first one first
	// EarlyData sends queries in 0-RTT where the server allows it (RFC 9250 §4.5): whoever records them can make the server see them again.
	EarlyData bool
	KeepAlive time.Duration // a PING after so long without packets; negative: none
	MaxIdle   time.Duration // nothing at all heard for so long: the connection has ended, without a word to the server
	Streams   int           // queries outstanding on one connection, if the server allows as many; more wait
	// Receive windows, bytes: how much a server may send that nobody has read. A stream's holds the longest message, a connection's one for
	// each of Streams, so that no answer waits for another to be read.
	StreamWindow, ConnectionWindow int
}

// WithDefaults returns q with its zero fields filled in.
func (q QUICSettings) WithDefaults() QUICSettings {
	if len(q.Versions) == 0 {
		q.Versions = []QUICVersion{QUICv1}
	}
	if q.KeepAlive == 0 {
		q.KeepAlive = QUICKeepAliveDefault
	}
	if q.MaxIdle == 0 {
		q.MaxIdle = QUICMaxIdleDefault
	}
	if q.Streams == 0 {
		q.Streams = QUICStreamsDefault
	}
	if q.StreamWindow == 0 {
		q.StreamWindow = QUICStreamWindowDefault
	}
	if q.ConnectionWindow == 0 {
		q.ConnectionWindow = q.Streams * QUICStreamWindowMin
	}
	return q
}

// validate returns what is wrong with q, joined.
func (q QUICSettings) validate() error {
	q = q.WithDefaults()
	var problems []error
	for i, v := range q.Versions {
		if v != QUICv1 && v != QUICv2 {
			problems = append(problems, fmt.Errorf("quic version %#x is not known", uint32(v)))
		}
		if slices.Contains(q.Versions[:i], v) {
			problems = append(problems, fmt.Errorf("quic version %#x twice", uint32(v)))
		}
	}
	if q.MaxIdle < 0 {
		problems = append(problems, fmt.Errorf("quic idle time %v must be positive", q.MaxIdle))
	}
	if q.Streams < 1 || q.Streams > QUICStreamsMax {
		problems = append(problems, fmt.Errorf("%d streams, want 1 to %d", q.Streams, QUICStreamsMax))
	}
	if q.StreamWindow < QUICStreamWindowMin || q.StreamWindow > QUICWindowMax {
		problems = append(problems, fmt.Errorf("stream window of %d bytes, want %d to %d", q.StreamWindow, QUICStreamWindowMin, QUICWindowMax))
	}
	if low := q.Streams * QUICStreamWindowMin; q.ConnectionWindow < low || q.ConnectionWindow > QUICWindowMax {
		problems = append(problems, fmt.Errorf("connection window of %d bytes, want %d (%d for each stream) to %d", q.ConnectionWindow, low, QUICStreamWindowMin, QUICWindowMax))
	}
	return errors.Join(problems...)
}
