package transport

import (
	"fmt"
	"sync/atomic"
)

// Counters is what a driver counts. All but Open only ever grow.
type Counters struct {
	Dials         atomic.Uint64 // attempts to connect, one for each address tried
	DialErrors    atomic.Uint64 // of them, those that failed
	Open          atomic.Int64  // connections open now
	Resumed       atomic.Uint64 // connections whose TLS session was resumed
	EarlyAccepted atomic.Uint64 // connections whose server took queries in 0-RTT
	EarlyRejected atomic.Uint64 // connections whose server did not, so that they were sent again
	Dead          atomic.Uint64 // connections closed here because nothing was read for DeadAfter
	Retired       [RetirementCount]atomic.Uint64
	FastOpened    atomic.Uint64 // connections that answered and whose server took data with the SYN
	BytesSent     atomic.Uint64 // payload of the connections: framed queries, before TLS
	BytesReceived atomic.Uint64
	Stalled       atomic.Uint64 // connections that another one took over from because nothing came from their server any more
	Retried       atomic.Uint64 // queries sent again because the server closed the connection (RFC 7766 §6.2.4)
	Unmatched     atomic.Uint64 // answers without an outstanding query: wrong id, too late, twice
	Mismatched    atomic.Uint64 // answers to another question than was asked
	Cancelled     atomic.Uint64 // queries given up because nobody waited for them any more

	HTTPStatus    [HTTPClasses]atomic.Uint64 // https: responses by the first digit of their status; [0]: no such class
	OpenHTTP3     atomic.Int64               // https: of Open, and those not taken into use yet, the connections over HTTP/3
	HTTP3Failures atomic.Uint64              // https: times that HTTP/3 was given up for a while
}

// Retirement says why a connection that worked was closed here.
type Retirement uint8

const (
	RetiredIdle      Retirement = iota // Endpoint.IdleTimeout
	RetiredKeepalive                   // the server's own idle timeout (RFC 7828), or its wish to end the connection
	RetiredQueries                     // Endpoint.MaxQueries
	RetiredAge                         // Endpoint.MaxAge
	RetirementCount                    // how many there are; not a Retirement
)

var retirementNames = [RetirementCount]string{"idle", "keepalive", "queries", "age"}

// String returns the name used as a metric label.
func (r Retirement) String() string {
	if r < RetirementCount {
		return retirementNames[r]
	}
	return fmt.Sprintf("retirement(%d)", uint8(r))
}

// workerCounters is the worker's plain counters as last shown by Flush.
type workerCounters struct{ submitted, received, refused atomic.Uint64 }

// store shows the counters. A store is as dear as an atomic add, so those that did not change are left alone.
func (c *workerCounters) store(submitted, received, refused uint64) {
	if c.submitted.Load() != submitted {
		c.submitted.Store(submitted)
	}
	if c.received.Load() != received {
		c.received.Store(received)
	}
	if c.refused.Load() != refused {
		c.refused.Store(refused)
	}
}

// HTTPClasses is the number of classes of HTTP status codes, 1 to 5, and one for all else.
const HTTPClasses = 6

// Stats is a copy of a lane's counters. They are read one after the other, not at one instant.
type Stats struct {
	Submitted, Refused uint64             // Submit returned true, false
	Outstanding        uint64             // submitted, not yet received by the worker
	Answered           uint64             // replies queued with an answer
	Failed             [FaultCount]uint64 // replies queued with a fault, by fault; [FaultNone] is 0
	AnswersDropped     uint64             // of FaultFull, those whose answer came but found no room

	Dials, DialErrors, Resumed, Dead uint64
	Retired                          [RetirementCount]uint64
	FastOpened                       uint64
	Open                             int64
	BytesSent, BytesReceived         uint64
	Retried, Unmatched, Mismatched   uint64
	Cancelled                        uint64
	EarlyAccepted, EarlyRejected     uint64
	Stalled                          uint64

	HTTPStatus    [HTTPClasses]uint64
	OpenHTTP3     int64
	HTTP3Failures uint64
}

// Counters returns the counters that the driver keeps.
func (l *Lane) Counters() *Counters { return &l.counters }

// Stats returns a copy of all counters. Any goroutine. Those of the worker are as of its last Flush.
func (l *Lane) Stats() Stats {
	c := &l.counters
	s := Stats{
		Submitted: l.shown.submitted.Load(), Refused: l.shown.refused.Load(),
		Dials: c.Dials.Load(), DialErrors: c.DialErrors.Load(), Open: c.Open.Load(), Resumed: c.Resumed.Load(), Dead: c.Dead.Load(),
		BytesSent: c.BytesSent.Load(), BytesReceived: c.BytesReceived.Load(),
		Retried: c.Retried.Load(), Unmatched: c.Unmatched.Load(), Mismatched: c.Mismatched.Load(),
		Cancelled:     c.Cancelled.Load(),
		EarlyAccepted: c.EarlyAccepted.Load(), EarlyRejected: c.EarlyRejected.Load(), Stalled: c.Stalled.Load(),
	}
	for class := range c.HTTPStatus {
		s.HTTPStatus[class] = c.HTTPStatus[class].Load()
	}
	s.OpenHTTP3, s.HTTP3Failures = c.OpenHTTP3.Load(), c.HTTP3Failures.Load()
	s.FastOpened = c.FastOpened.Load()
	for i := range c.Retired {
		s.Retired[i] = c.Retired[i].Load()
	}
	if received := l.shown.received.Load(); received < s.Submitted {
		s.Outstanding = s.Submitted - received
	}
	l.mu.Lock()
	s.Answered, s.Failed, s.AnswersDropped = l.tally[FaultNone], l.tally, l.drops
	l.mu.Unlock()
	s.Failed[FaultNone] = 0
	return s
}
