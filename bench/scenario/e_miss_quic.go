package scenario

import "secure-dns-proxy/bench/server"

// encryptedWindow is queries outstanding over DoQ and DoH, each of which takes a stream: as in (d) with 256.
const encryptedWindow = 256

// missQUIC: what does a miss over DoQ cost, a stream each, against DoT?
func missQUIC() *Scenario {
	s := miss(MissQUIC, "misses over DoQ", server.QUIC, encryptedWindow)
	s.Bar = "at most 2x our DoT at 256 outstanding"
	return s
}

// missHTTPS: the same over DoH, a request each.
func missHTTPS() *Scenario {
	s := miss(MissHTTPS, "misses over DoH", server.HTTPS, encryptedWindow)
	s.Bar = "none; for comparison"
	return s
}
