package appliance

import (
	"fmt"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
)

// connCaps are the caps on connections of pools and of kinds of upstreams, by name. They stay for the life of the process, so that what a
// reload finds open is counted.
type connCaps map[string]*transport.ConnCap

// apply puts the endpoints of entries under the caps of a configuration.
func (m connCaps) apply(c *config.Checked, entries []entry) {
	for i := range c.Pools {
		m.of("pool "+c.Pools[i].Name, c.Pools[i].MaxConnections)
	}
	kinds := map[transport.Scheme]config.Cap{
		transport.TCP: c.Caps.TCP, transport.TLS: c.Caps.TLS, transport.QUIC: c.Caps.QUIC, transport.HTTPS: c.Caps.HTTPS,
	}
	for _, e := range entries {
		for _, end := range e.endpoints {
			var list []*transport.ConnCap
			for _, name := range e.upstream.Pools {
				list = append(list, m["pool "+name])
			}
			if kind, capped := kinds[end.Scheme]; capped { // udp has connections for truncated answers only
				list = append(list, m.of(fmt.Sprintf("all %v upstreams", end.Scheme), kind.MaxConnections))
			}
			end.ConnCaps.Store(list)
		}
	}
}

// of returns the cap of that name, set to most.
func (m connCaps) of(name string, most int) *transport.ConnCap {
	if m[name] == nil {
		m[name] = transport.NewConnCap(name)
	}
	m[name].Set(most)
	return m[name]
}
