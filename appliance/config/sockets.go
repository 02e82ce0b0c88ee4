package config

import (
	"net/netip"
	"slices"
)

// sockets checks what listeners and upstreams say together: nobody can have a socket twice, and a proxy that asks itself never ends.
func (c *checker) sockets(out *Checked) {
	m := out.Metrics
	c.readers(out)
	for _, l := range out.Listen {
		if m.Listen.IsValid() && collide(l, m.Listen) {
			c.fault(c.anyOf("metrics.listen", "listen"), "%s: queries are answered on %s, and one port cannot have both", m.Listen, l)
		}
	}
	for i := range out.Upstreams {
		if u := &out.Upstreams[i]; out.listensAs(u) {
			c.fault(c.whereIs(u), "%s is this proxy itself (listen): it would ask itself for ever", u.URL)
		}
	}
	for i := range out.Bootstrap.Servers {
		if u := &out.Bootstrap.Servers[i]; out.listensAs(u) {
			c.fault(c.written("bootstrap.servers"), "%s is this proxy itself (listen), which cannot know where its upstreams are", u.URL)
		}
	}
}

// readers makes sure that not the whole internet may read the figures unless that is meant.
func (c *checker) readers(out *Checked) {
	m, list := &out.Metrics, c.written("metrics.allow")
	local := m.Listen.IsValid() && within(netip.PrefixFrom(m.Listen.Addr(), m.Listen.Addr().BitLen()), private)
	switch {
	case m.AllowRemote && list.line == 0:
		m.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	case m.AllowRemote || !m.Listen.IsValid():
	case !m.Listen.Addr().IsLoopback() && list.line == 0:
		c.fault(c.written("metrics.listen"), "%s is not a loopback address: who reaches it could read the figures; list who may in metrics.allow, or set metrics.allow_remote = true if anybody may", m.Listen)
	case !local:
		for i, p := range m.Allow {
			if wide(p) {
				c.fault(c.written(joinIndex("metrics.allow", i)).or(list), "%s lets strangers read the figures on %s; set metrics.allow_remote = true if that is meant", p, m.Listen)
				break
			}
		}
	}
}

// listensAs returns whether queries to u come back to this proxy.
func (c *Checked) listensAs(u *Upstream) bool {
	return !u.Encrypted() && slices.ContainsFunc(c.Listen, func(l netip.AddrPort) bool {
		return slices.ContainsFunc(u.Addresses, func(a netip.Addr) bool { return covers(l, netip.AddrPortFrom(a, u.Port)) })
	})
}

// collide returns whether a and b cannot both be bound.
func collide(a, b netip.AddrPort) bool {
	all := a.Addr().IsUnspecified() || b.Addr().IsUnspecified()
	return a.Port() != 0 && a.Port() == b.Port() && (a.Addr() == b.Addr() || all)
}

// covers returns whether a socket that is bound to l gets what is sent to server. Of a wildcard it knows that for loopback addresses only.
func covers(l, server netip.AddrPort) bool {
	all := l.Addr().IsUnspecified() && server.Addr().IsLoopback() && (l.Addr().Is6() || server.Addr().Is4())
	return l.Port() == server.Port() && (l.Addr() == server.Addr() || all)
}

// unusable says why no server can be reached at a; empty: one can.
func unusable(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return a.String() + " is no server's address"
	case a.IsMulticast():
		return a.String() + " is a multicast address"
	case a.Is6() && a.IsLinkLocalUnicast():
		return a.String() + " is a link-local address, which takes a zone, and zones are not supported"
	}
	return ""
}
