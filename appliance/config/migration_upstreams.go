package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// originalLists is the order in which the original put its lists of upstreams together, and the scheme of each.
var originalLists = []struct{ name, scheme string }{
	{"upstreams.dns", "udp"}, {"upstreams.doh", "https"}, {"upstreams.dot", "tls"}, {"upstreams.doq", "quic"},
}

// originalDoQPort is where the original sent DoQ when no port was written; RFC 9250 §4.1.1 says 853.
const originalDoQPort = "784"

// moved is one upstream on its way from the original's lists to ours.
type moved struct {
	Upstream
	from  value          // the element of the list
	table map[string]any // its [[upstream]]
}

func (m *migration) upstreams() {
	if v := m.file.value("upstreams", m.file.tree["upstreams"]); oldUpstreams(v) {
		m.fault(v, "is an array of tables, as in early versions of the original: write [upstreams] with the lists dns, doh, dot and doq, and fixed addresses in [hosts]")
		return
	}
	var all []moved
	for _, list := range originalLists {
		items, _ := m.values[list.name].list()
		for _, item := range items {
			if u, ok := m.upstreamOf(list.name, list.scheme, item); ok {
				all = append(all, u)
			}
		}
	}
	if len(all) == 0 && !m.problems.Broken() {
		m.fault(m.file.value("upstreams", nil), "is empty or missing: at least one upstream is needed in its lists dns, doh, dot and doq")
		return
	}
	all = m.once(all)
	m.all = all
	m.onePort(all)
	m.verification(all)
	m.connections(all)
	m.idle(all)
	m.handshake(all)
	tables := make([]map[string]any, len(all))
	for i, u := range all {
		tables[i] = u.table
		at := joinIndex("upstream", i)
		m.place(at, u.from)
		m.place(joinKey(at, "url"), u.from)
	}
	m.set("upstream", tables, m.file.value("upstreams", nil))
	delete(m.comments, "upstream")
}

// upstreamOf reads one element of one list.
func (m *migration) upstreamOf(list, scheme string, item value) (moved, bool) {
	text, ok := m.text(item)
	if !ok {
		return moved{}, false
	}
	text = strings.TrimSpace(text)
	if list == "upstreams.dns" {
		text = "udp://" + plainHost(text)
	}
	if got, _, found := strings.Cut(text, "://"); found && got != scheme {
		m.fault(item, "%q: %s holds %s:// only", text, list, scheme)
		return moved{}, false
	}
	if p, err := url.Parse(text); scheme == "quic" && err == nil && p.Port() == "" && p.Host != "" {
		m.warn(item, "%q has no port: the original's default, %s, is kept for it; write :853 (RFC 9250) unless the server really is on %s", text, originalDoQPort, originalDoQPort)
		text += ":" + originalDoQPort
	}
	u := moved{from: item, table: map[string]any{"url": text}}
	before := len(m.problems)
	readURL(m.checker, &u.Upstream, value{path: item.path, line: item.line, data: text})
	return u, !m.problems[before:].Broken()
}

// plainHost takes host, host:port, or an IPv6 address with or without brackets, and what may stand before it.
func plainHost(text string) string {
	for _, prefix := range []string{"dns://", "udp://"} {
		text = strings.TrimPrefix(text, prefix)
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
		return "[" + text + "]"
	}
	return text
}

// once drops what is in the lists twice: the original asked it twice as often.
func (m *migration) once(all []moved) []moved {
	first := map[string]moved{}
	return slices.DeleteFunc(all, func(u moved) bool {
		other, twice := first[u.identity()]
		if twice {
			m.warn(u.from, "is the same upstream as %s on line %d: it is used once", other.from.path, other.from.line)
		} else {
			first[u.identity()] = u
		}
		return twice
	})
}

// onePort warns of hosts for which the original did not do what its file says: it kept one port for each name.
func (m *migration) onePort(all []moved) {
	first := map[string]moved{}
	for _, u := range all {
		if !u.Name() {
			continue
		}
		other, known := first[u.Host]
		if !known {
			first[u.Host] = u
		} else if other.Port != u.Port {
			m.warn(u.from, "is asked on port %d; the original dialled port %d of %s (that of %s) for it too", u.Port, other.Port, u.Host, other.from.path)
		}
	}
}

func (m *migration) verification(all []moved) {
	if !m.booleanOf("insecure_tls") {
		return
	}
	v, any := m.values["insecure_tls"], false
	for i, u := range all {
		if u.Encrypted() {
			any = true
			m.setUpstream(all, i, "insecure_tls", true, v)
		}
	}
	if !any {
		m.warn(v, "has no effect: no upstream uses TLS")
	}
}

// setUpstream sets a key of all[i]'s table.
func (m *migration) setUpstream(all []moved, i int, name string, data any, from value) {
	all[i].table[name] = data
	m.place(joinKey(joinIndex("upstream", i), name), from)
}

func count(all []moved, scheme string) (n int64) {
	for _, u := range all {
		if u.Scheme == scheme {
			n++
		}
	}
	return n
}

// connections turns the sizes of pools, which were per upstream, into the number that each worker may have. Both are ceilings:
// connections are opened when there is work for them.
func (m *migration) connections(all []moved) {
	perHost := m.integerOf("pools.http_transport.max_idle_conns_per_host")
	if perHost == 0 {
		perHost = 2 // what net/http takes for 0
	}
	http := m.values["pools.http_transport.max_idle_conns_per_host"]
	if total := m.integerOf("pools.http_transport.max_idle_conns"); total > 0 && count(all, "https") > 0 {
		if each := max(total/count(all, "https"), 1); each < perHost {
			perHost, http = each, m.values["pools.http_transport.max_idle_conns"]
		}
	}
	for _, pool := range []struct {
		scheme string
		size   int64
		from   value
	}{
		{"tls", m.integerOf("pools.tls.size"), m.values["pools.tls.size"]},
		{"quic", m.integerOf("pools.quic.size"), m.values["pools.quic.size"]},
		{"https", perHost, http},
	} {
		m.ceiling(all, pool.scheme, pool.size, pool.from)
	}
}

// ceiling gives every upstream of a scheme its number of connections.
func (m *migration) ceiling(all []moved, scheme string, size int64, from value) {
	if count(all, scheme) > 0 && size < 1 {
		m.warn(from, "stands for 1, as it did in the original")
	}
	each := m.share(max(size, 1))
	if count(all, scheme) > 0 && each > connectionsMax {
		m.warn(from, "%d connections per upstream are more than the workers (%d here) can have, %d each, which is used; queries share a connection now", size, m.machine.workers(), connectionsMax)
	}
	m.setAll(all, scheme, "connections", min(each, connectionsMax), from)
}

// unused warns of a written setting for a transport that no upstream uses; it had no effect in the original either.
func (m *migration) unused(scheme string, from value) {
	if from.written() {
		m.warn(from, "has no effect: no upstream is %s://", scheme)
	}
}

// idle is the time after which an unused connection is closed. The original had one for each transport, and so have the upstreams here.
func (m *migration) idle(all []moved) {
	for _, pool := range []struct{ scheme, key string }{
		{"tls", "pools.tls.idle_timeout"},
		{"quic", "pools.quic.idle_timeout"},
		{"https", "pools.http_transport.idle_conn_timeout"},
	} {
		v := m.values[pool.key]
		m.setAll(all, pool.scheme, "idle_timeout", durationText(m.positive(pool.key, time.Minute)), v)
	}
}

// handshake had a time of its own in the original, after that of dialling, for https:// only.
func (m *migration) handshake(all []moved) {
	v := m.values["pools.http_transport.tls_handshake_timeout"]
	m.setAll(all, "https", "dial_timeout", durationText(m.durationOf("timeouts.dial")+m.durationOf(v.path)), v)
}

// setAll sets a key of every upstream of a scheme.
func (m *migration) setAll(all []moved, scheme, name string, data any, from value) {
	if count(all, scheme) == 0 {
		m.unused(scheme, from)
		return
	}
	for i, u := range all {
		if u.Scheme == scheme {
			m.setUpstream(all, i, name, data, from)
		}
	}
}
