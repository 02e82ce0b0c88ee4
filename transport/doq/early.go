package doq

import (
	"slices"

	"secure-dns-proxy/transport/pool"
)

// hold keeps call until the handshake is complete.
func (c *conn) hold(call *pool.Call) {
	c.mu.Lock()
	if !c.over && !c.proven() {
		c.held = append(c.held, call)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.Start(call)
}

// confirm waits for the end of an early handshake, and then sends what was held back, or was sent in 0-RTT and rejected.
func (c *conn) confirm() {
	select {
	case <-c.quic.HandshakeComplete():
	case <-c.quic.Context().Done():
		return
	}
	counters := c.lane.Counters()
	accepted := c.quic.ConnectionState().Used0RTT
	if accepted {
		counters.EarlyAccepted.Add(1)
	} else {
		counters.EarlyRejected.Add(1)
		if _, err := c.quic.NextConnection(c.quic.Context()); err != nil {
			return // the connection has ended
		}
	}
	c.mu.Lock()
	close(c.ready)
	again := slices.Clone(c.held)
	c.held = nil
	if !accepted {
		c.refused = true
		_, calls := c.takeAll()
		again = append(again, calls...)
	}
	c.openMore()
	c.mu.Unlock()
	for _, call := range again {
		c.Start(call)
	}
	c.lane.Publish()
}
