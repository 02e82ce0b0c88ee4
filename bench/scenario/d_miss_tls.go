package scenario

import (
	"fmt"

	"secure-dns-proxy/bench/server"
)

// missTLS: what does a miss over DoT cost, with moderate and with deep queues? Batches grow with the number outstanding.
func missTLS(outstanding int) *Scenario {
	s := miss(fmt.Sprintf("d-%d", outstanding), fmt.Sprintf("misses over DoT, %d outstanding", outstanding), server.TLS, outstanding)
	s.Bar = "2.5x less CPU than dnsdist tuned; at most 1.7x the echo's at 2048 outstanding, 2.1x at 256"
	return s
}
