package tally

import (
	"sync/atomic"

	"secure-dns-proxy/tools/dnsload/pending"
)

// Counts is what one sender saw of the queries that were to be sent within the measured time. Every one of them ends as
// answered or lost: Queries == Answered + Lost once the sender has ended.
type Counts struct {
	Queries, Answered, Lost uint64
	Verdicts                [pending.Verdicts]uint64 // messages received in the measured time or the wait after it
	Rcodes                  [16]uint64               // of answers; the header's four bits
	Truncated               uint64                   // answers with TC
	Unsent                  uint64                   // open loop: due within the measured time, but never sent
	Unreachable             uint64                   // ICMP errors met on a socket: nothing listens there
	Reconnects              uint64                   // streams: connections lost and opened again
	Latency                 Histogram                // of answers, from the intended send time
	Lag                     Histogram                // open loop: from the intended to the actual send time
	LastNs                  int64                    // when the last query was sent, or answered or lost, whatever was last
}

// Answer counts an answer to a query of the measured time.
func (c *Counts) Answer(msg []byte, latencyNs int64) {
	c.Answered++
	c.Rcodes[msg[3]&0x0f]++
	c.Truncated += uint64(msg[2] >> 1 & 1)
	c.Latency.Record(latencyNs)
}

// Merge adds what another sender saw.
func (c *Counts) Merge(other *Counts) {
	c.Queries += other.Queries
	c.Answered += other.Answered
	c.Lost += other.Lost
	c.Truncated += other.Truncated
	c.Unsent += other.Unsent
	c.Unreachable += other.Unreachable
	c.Reconnects += other.Reconnects
	for i, n := range other.Verdicts {
		c.Verdicts[i] += n
	}
	for i, n := range other.Rcodes {
		c.Rcodes[i] += n
	}
	c.Latency.Merge(&other.Latency)
	c.Lag.Merge(&other.Lag)
	c.LastNs = max(c.LastNs, other.LastNs)
}

// Live is what a sender shows of all its queries, measured or not, while it runs: written by the sender, read by anybody.
type Live struct {
	Sent, Answered, Lost atomic.Uint64
	_                    [128 - 3*8]byte // no line shared with another sender
}
