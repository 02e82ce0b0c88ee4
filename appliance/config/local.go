package config

import (
	"strings"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/local"
)

// Local is what is answered without asking an upstream.
type Local struct {
	Localhost      bool     // as the loopback address
	Nonexistent    []string // fully qualified, lower case
	PrivateReverse bool     // as empty zones
	ResolverARPA   bool     // as an empty zone
	ApplicationDNS bool     // as nonexistent
	Any            local.Any
	Version, ID    string // "" = refused
}

// localKeys is every key of [local].
var localKeys = []key[Local]{
	choiceKey("localhost", "loopback", []choice[bool]{{"loopback", true}, {"forward", false}},
		func(l *Local) *bool { return &l.Localhost }).reload(),
	key[Local]{
		name: "nonexistent", standard: `["invalid", "test", "onion", "alt"]`, bounds: "0 to 64 names",
		read: readNonexistent, get: func(l *Local) any { return &l.Nonexistent },
	}.reload(),
	choiceKey("private_reverse", "nxdomain", []choice[bool]{{"nxdomain", true}, {"forward", false}},
		func(l *Local) *bool { return &l.PrivateReverse }).reload(),
	choiceKey("resolver_arpa", "nodata", []choice[bool]{{"nodata", true}, {"forward", false}},
		func(l *Local) *bool { return &l.ResolverARPA }).reload(),
	choiceKey("application_dns", "forward", []choice[bool]{{"nxdomain", true}, {"forward", false}},
		func(l *Local) *bool { return &l.ApplicationDNS }).reload(),
	choiceKey("any", local.AnyNames[local.AnyHINFO], []choice[local.Any]{
		{"forward", local.AnyForward}, {"hinfo", local.AnyHINFO}, {"refused", local.AnyRefused},
	}, func(l *Local) *local.Any { return &l.Any }).reload(),
	aboutKey("version", func(l *Local) *string { return &l.Version }),
	aboutKey("id", func(l *Local) *string { return &l.ID }),
}

// aboutKey is a text that clients may ask for.
func aboutKey(name string, at func(*Local) *string) key[Local] {
	return key[Local]{
		name: name, standard: `""`, bounds: "a text of 0 to 255 bytes",
		get: func(l *Local) any { return at(l) },
		read: func(c *checker, l *Local, v value) {
			text, ok := c.text(v)
			if ok && len(text) > local.TextBytesMax {
				c.fault(v, "has %d bytes, at most %d are allowed", len(text), local.TextBytesMax)
				return
			}
			*at(l) = text
		},
	}.reload()
}

// ownZones are names that have a key of their own in [local].
var ownZones = map[string]string{
	"localhost.": "local.localhost", "resolver.arpa.": "local.resolver_arpa", "use-application-dns.net.": "local.application_dns",
}

func readNonexistent(c *checker, l *Local, v value) {
	items, ok := c.oneOrMany(v, nonexistentMax)
	if !ok {
		return
	}
	l.Nonexistent = nil
	seen := map[string]bool{}
	for _, item := range items {
		name, ok := c.name(item)
		switch {
		case !ok:
		case name == ".":
			c.fault(item, "is the root: no name would exist")
		case seen[name]:
			c.fault(item, "%q stands twice", name)
		case ownZones[name] != "":
			c.fault(item, "%q is what %s is about", name, ownZones[name])
		case strings.HasSuffix(name, ".in-addr.arpa.") || strings.HasSuffix(name, ".ip6.arpa."):
			c.fault(item, "%q is a reverse zone: see local.private_reverse", name)
		default:
			seen[name] = true
			l.Nonexistent = append(l.Nonexistent, name)
		}
	}
}

// name reads a domain name: fully qualified, lower case.
func (c *checker) name(v value) (string, bool) {
	text, ok := c.text(v)
	if !ok {
		return "", false
	}
	name := strings.ToLower(dns.Fqdn(text))
	if _, ok := dns.IsDomainName(name); !ok || text == "" {
		c.fault(v, "%q is not a name", text)
		return "", false
	}
	return name, true
}
