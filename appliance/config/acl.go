package config

import (
	"net/netip"
	"slices"
)

// ACL says who may ask.
type ACL struct {
	Allow, Deny  []netip.Prefix // the longest prefix that holds a client decides
	Silent       bool           // those who may not are not even answered REFUSED
	OpenResolver bool           // it is meant that anybody may ask
	Listeners    []ListenerACL
}

// ListenerACL is who may ask one listener, in place of what ACL says for all.
type ListenerACL struct {
	Listen      netip.AddrPort
	Allow, Deny []netip.Prefix
}

// aclKeys is every key of [acl].
var aclKeys = []key[ACL]{
	prefixesKey("allow", privateText, func(a *ACL) *[]netip.Prefix { return &a.Allow }).reload(),
	prefixesKey("deny", "[]", func(a *ACL) *[]netip.Prefix { return &a.Deny }).reload(),
	choiceKey("action", "refuse", []choice[bool]{{"refuse", false}, {"drop", true}}, func(a *ACL) *bool { return &a.Silent }).reload(),
	booleanKey("open_resolver", false, func(a *ACL) *bool { return &a.OpenResolver }).reload(),
	key[ACL]{
		name: "listener", bounds: "tables [[acl.listener]], one for an address at most",
		read: readListenerACLs, get: func(a *ACL) any { return &a.Listeners },
	}.reload(),
}

// listenerKeys is every key of one [[acl.listener]].
var listenerKeys = []key[ListenerACL]{
	key[ListenerACL]{
		name: "listen", bounds: "one of listen", get: func(l *ListenerACL) any { return &l.Listen },
		read: func(c *checker, l *ListenerACL, v value) { l.Listen, _ = c.addrPort(v, 0) },
	}.reload(),
	prefixesKey("allow", "[]", func(l *ListenerACL) *[]netip.Prefix { return &l.Allow }).reload(),
	prefixesKey("deny", "[]", func(l *ListenerACL) *[]netip.Prefix { return &l.Deny }).reload(),
}

// privateText is the default of acl.allow: loopback, RFC 1918, RFC 6598 (between a carrier and its customers), RFC 3927 and 4291 (link-local),
// RFC 4193 (unique local).
const privateText = `["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fe80::/10", "fc00::/7"]`

// private holds what is in privateText: addresses that no stranger can have.
var private = func() (out []netip.Prefix) {
	for _, text := range []string{
		"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fe80::/10", "fc00::/7",
	} {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}()

// prefixesKey is a list of prefixes.
func prefixesKey[T any](name, standard string, at func(*T) *[]netip.Prefix) key[T] {
	return key[T]{
		name: name, standard: standard, bounds: "0 to 4096 of IP or IP/length",
		get: func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			items, ok := c.oneOrMany(v, prefixesMax)
			if !ok {
				return
			}
			*at(t) = nil
			for _, item := range items {
				if p, ok := c.prefix(item); ok {
					*at(t) = append(*at(t), p)
				}
			}
		},
	}
}

func readListenerACLs(c *checker, a *ACL, v value) {
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be tables, written [[acl.listener]], not %s", v.kind())
		return
	}
	for _, item := range items {
		data, ok := item.data.(map[string]any)
		if !ok {
			c.fault(item, "must be a table, written [[acl.listener]], not %s", item.kind())
			continue
		}
		var l ListenerACL
		fill(c, listenerKeys, &l, item, data)
		a.Listeners = append(a.Listeners, l)
	}
}

// Of returns the prefixes that hold for a listener.
func (a *ACL) Of(listener netip.AddrPort) (allow, deny []netip.Prefix) {
	for i := range a.Listeners {
		if l := &a.Listeners[i]; l.Listen == listener {
			return l.Allow, l.Deny
		}
	}
	return a.Allow, a.Deny
}

// access makes sure that each list says one thing, belongs to a listener, and does not let the whole internet ask unless that is meant.
func (c *checker) access(out *Checked) {
	c.contradictions("acl.deny", out.ACL.Allow, out.ACL.Deny)
	for i := range out.ACL.Listeners {
		l, path := &out.ACL.Listeners[i], joinIndex("acl.listener", i)
		same := func(other ListenerACL) bool { return other.Listen == l.Listen }
		switch {
		case !l.Listen.IsValid():
			if c.written(path+".listen").line == 0 {
				c.fault(c.written(path), "has no listen: which of the addresses in listen is it for?")
			}
		case !slices.Contains(out.Listen, l.Listen):
			c.fault(c.written(path+".listen"), "%s is not in listen", l.Listen)
		case slices.ContainsFunc(out.ACL.Listeners[:i], same):
			c.fault(c.written(path+".listen"), "%s has an [[acl.listener]] already", l.Listen)
		}
		c.contradictions(path+".deny", l.Allow, l.Deny)
	}
	for _, listener := range out.Listen {
		if within(netip.PrefixFrom(listener.Addr(), listener.Addr().BitLen()), private) || out.ACL.OpenResolver {
			continue
		}
		path := "acl.allow"
		for i := range out.ACL.Listeners {
			if out.ACL.Listeners[i].Listen == listener {
				path = joinIndex("acl.listener", i) + ".allow"
			}
		}
		allow, _ := out.ACL.Of(listener)
		for i, p := range allow {
			if wide(p) {
				c.fault(c.written(joinIndex(path, i)).or(c.written(path)), "%s lets strangers ask on %s: an open resolver is used to attack others; set acl.open_resolver = true if that is meant", p, listener)
				break
			}
		}
	}
}

// contradictions reports prefixes that are on both sides.
func (c *checker) contradictions(path string, allow, deny []netip.Prefix) {
	for i, p := range deny {
		if slices.Contains(allow, p) {
			c.fault(c.written(joinIndex(path, i)).or(c.written(path)), "%s is allowed as well: the longest prefix decides, and these are equal", p)
		}
	}
}

// wide reports whether p holds more of the public internet than any one network has: above a /8, or a /16 of IPv6.
func wide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8 && !within(p, private)
	}
	return p.Bits() < 16 && !within(p, private)
}

// within reports whether all of p is in one of the prefixes.
func within(p netip.Prefix, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(outer netip.Prefix) bool { return outer.Bits() <= p.Bits() && outer.Contains(p.Addr()) })
}
