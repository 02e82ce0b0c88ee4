package telemetry

import (
	"net"
	"net/netip"
	"time"

	"secure-dns-proxy/worker/policy/acl"
)

// gate is a listener that closes the connections of those who may not read the figures before they have said anything.
type gate struct {
	net.Listener
	server *Server
}

func (g gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || g.server.admits(c) {
			return c, err
		}
		_ = c.Close() // who is turned away hears nothing, not of an error either
	}
}

// Allow says who may read the figures, and may be called at any time, by any goroutine. Without it everybody may.
func (s *Server) Allow(list *acl.List) { s.access.Store(list) }

// Denied is how many connections were closed because of Allow.
func (s *Server) Denied() uint64 { return s.denied.Load() }

func (s *Server) admits(c net.Conn) bool {
	list := s.access.Load()
	if list == nil {
		return true
	}
	from, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err == nil && list.Allows(from.Addr().WithZone("")) {
		return true
	}
	s.denied.Add(1)
	if n, tell := s.denials.Tell(time.Now()); tell {
		s.log.Warn("metrics: denied", "from", c.RemoteAddr(), "also denied since the last line", n)
	}
	return false
}
