package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"secure-dns-proxy/transport"
)

// schemes and the port that each has by default (RFC 7858 §3.1, RFC 9250 §4.1.1, RFC 8484, RFC 9114).
var schemes = map[string]uint16{"udp": 53, "tcp": 53, "tls": 853, "quic": 853, "https": 443, "h3": 443}

const schemesText = "udp://, tcp://, tls://, quic://, https:// or h3://"

// readUpstreams takes one URL, a list of URLs, or an array of tables.
func readUpstreams(c *checker, t *Checked, v value) {
	items, ok := v.list()
	if _, single := v.data.(string); single {
		items, ok = []value{v}, true
	}
	switch {
	case !ok:
		c.fault(v, "must be a URL, an array of URLs or [[upstream]] tables, not %s", v.kind())
	case len(items) == 0:
		c.fault(v, "is empty: at least one upstream is needed")
	case len(items) > UpstreamsMax:
		c.fault(v, "%d upstreams, at most %d are allowed", len(items), UpstreamsMax)
	}
	first := map[string]value{}
	for _, item := range items {
		u, ok := c.upstream(item)
		if !ok {
			continue
		}
		if other, twice := first[u.identity()]; twice {
			c.fault(item, "%s is the same upstream as %s on line %d", u.URL, other.path, other.line)
			continue
		}
		first[u.identity()] = item
		t.Upstreams = append(t.Upstreams, u)
	}
}

// identity is equal for two spellings of one upstream.
func (u *Upstream) identity() string {
	return fmt.Sprintf("%s://%s:%d%s", u.Scheme, u.Host, u.Port, u.Path)
}

// upstream reads one entry; false if it cannot be used.
func (c *checker) upstream(v value) (Upstream, bool) {
	var u Upstream
	for _, k := range upstreamKeys {
		k.preset(c, &u)
	}
	before := len(c.problems)
	switch data := v.data.(type) {
	case string:
		readURL(c, &u, v)
	case map[string]any:
		for _, part := range slices.Sorted(maps.Keys(data)) {
			c.upstreamKey(&u, v, part, data[part])
		}
		if _, given := data["url"]; !given {
			c.fault(v, "has no url")
		}
		c.fit(&u, v, data)
	default:
		c.fault(v, "must be a URL or a table with a url, not %s", v.kind())
	}
	return u, !c.problems[before:].Broken()
}

func (c *checker) upstreamKey(u *Upstream, table value, part string, data any) {
	v := table.field(part, data)
	i := slices.IndexFunc(upstreamKeys, func(k key[Upstream]) bool { return k.name == part })
	if i < 0 {
		var known []string
		for _, k := range upstreamKeys {
			known = append(known, k.name)
		}
		c.unknownKey(v, part, known)
		return
	}
	upstreamKeys[i].read(c, u, v)
}

// fit refuses settings that would have no effect on an upstream of this kind.
func (c *checker) fit(u *Upstream, table value, data map[string]any) {
	if u.Scheme == "" {
		return // the URL's own problem has been reported
	}
	idle := func(name, why string) {
		if d, given := data[name]; given {
			c.fault(table.field(name, d), "has no effect on %s: %s", u.URL, why)
		}
	}
	why := "it does not use TLS"
	if u.Scheme == "embedded" {
		why = "it brings its own certificate and address"
		idle("addresses", why)
	}
	c.discovery(u, table, idle)
	switch {
	case u.Encrypted():
		c.handshake(u, table, idle)
	case u.Designates():
		c.identity(u, table)
	default:
		for _, name := range tlsNames() {
			idle(name, why)
		}
	}
	if (u.Scheme == "udp" || u.Scheme == "tcp") && !u.Designates() {
		idle("padding", "whoever sees its length reads the query as well")
	}
	if !u.HTTP() {
		for _, name := range []string{"method", "http3"} {
			idle(name, "it does not use HTTP")
		}
	}
	u.fitQUIC(idle)
	u.fitStream(idle)
	if u.Scheme == "h3" {
		idle("http3", "h3:// is always HTTP/3")
	}
	if u.Scheme == "udp" && !u.Designates() {
		idle("connections", "udp has none")
	}
	if len(u.Addresses) > 0 && !u.Name() && u.Host != "" {
		idle("addresses", "its host is an address already")
	}
}

// readURL fills Scheme, Host, Port and Path as well.
func readURL(c *checker, u *Upstream, v value) {
	text, ok := c.text(v)
	if !ok {
		return
	}
	u.URL = text
	if text == "embedded:" {
		u.Scheme = "embedded"
		return
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		c.fault(v, "%q has no scheme: write %s in front of the host, for example \"tls://%s\"", text, schemesText, text)
		return
	}
	if _, known := schemes[scheme]; !known {
		c.fault(v, "%q: %q is not one of %s", text, scheme+"://", schemesText)
		return
	}
	if why := u.parseURL(text, scheme); why != "" {
		c.fault(v, "%q: %s", text, why)
		return
	}
	if strings.HasSuffix(rest, ":") {
		c.fault(v, "%q: the port is missing after the colon", text)
		return
	}
	u.Scheme = scheme
}

// parseURL fills Host, Port and Path, or says what is wrong.
func (u *Upstream) parseURL(text, scheme string) string {
	// What follows the host may be a URI template, which is no URL.
	_, rest, _ := strings.Cut(text, "://")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#{}"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	p, err := url.Parse(scheme + "://" + authority)
	switch {
	case err != nil:
		_, why, _ := strings.Cut(err.Error(), "\": ")
		return "not a URL: " + why
	case p.User != nil:
		return "a user name is not allowed"
	}
	if why := u.parsePath(path, scheme); why != "" {
		return why
	}
	u.Host = strings.TrimSuffix(strings.ToLower(p.Hostname()), ".")
	a, err := netip.ParseAddr(u.Host)
	switch {
	case u.Host == "":
		return "the host is missing"
	case err == nil && a.Zone() != "":
		return "addresses with a zone are not supported"
	case err == nil && unusable(a) != "":
		return unusable(a)
	case err == nil:
		u.Host = a.Unmap().String()
	case strings.Contains(u.Host, ":"):
		return "an IPv6 address is written in brackets, for example [2001:db8::1]"
	case !hostName(u.Host):
		return fmt.Sprintf("%q is not a host name", u.Host)
	}
	u.Port = schemes[scheme]
	if port := p.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Sprintf("port %s is out of range (1 to 65535)", port)
		}
		u.Port = uint16(n)
	}
	if scheme == "quic" && u.Port == 53 {
		return "port 53 is not for DNS over QUIC (RFC 9250 §4.1.1)"
	}
	return ""
}

// parsePath fills Path, which for HTTP may be a URI template, or says what is wrong.
func (u *Upstream) parsePath(path, scheme string) string {
	switch {
	case scheme != "https" && scheme != "h3":
		if path != "" {
			return fmt.Sprintf("%s:// takes no path", scheme)
		}
		return ""
	case path == "":
		path = "/dns-query"
	case path[0] != '/':
		return "a path comes after the host: write for example /dns-query{?dns}"
	}
	if _, err := transport.ParseResource(path); err != nil {
		return err.Error()
	}
	u.Path = path
	return ""
}

// hostName accepts letters, digits, hyphens and underscores in labels of 1 to 63, 253 in all. A name whose last label is all digits
// is a mistyped IPv4 address.
func hostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		bad := strings.IndexFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		})
		if label == "" || len(label) > 63 || bad >= 0 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil
}
