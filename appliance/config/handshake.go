package config

import (
	"crypto/tls"
	"net/netip"
)

// tlsNames are the keys of an upstream that only TLS gives a meaning.
func tlsNames() []string {
	names := []string{"tls_name", "ca_file", "insecure_tls"}
	for _, k := range upstreamTLSKeys {
		names = append(names, k.name)
	}
	return names
}

// overQUIC returns whether u is reached over QUIC and nothing else.
func (u *Upstream) overQUIC() bool {
	return u.Scheme == "quic" || u.Scheme == "h3" || u.HTTP3 == "only"
}

// handshake checks what one encrypted upstream's own keys say together.
func (c *checker) handshake(u *Upstream, table value, idle func(name, why string)) {
	at := func(name string) value { return table.field(name, nil) }
	if u.InsecureTLS {
		c.warn(at("insecure_tls"), "%s is used without verifying its certificate: whoever is on the path can answer in its place", u.URL)
		if len(u.Pins) > 0 {
			c.fault(at("pins"), "insecure_tls = true would ignore them; pin_only = true is verification by pin without certificate authorities")
		}
		idle("ca_file", "insecure_tls = true verifies nothing")
	}
	if u.PinOnly {
		if len(u.Pins) == 0 {
			c.fault(at("pin_only"), "needs pins: without them nobody would be let in")
		}
		idle("ca_file", "pin_only = true puts pins in its place")
	}
	if u.overQUIC() {
		for _, name := range []string{"cipher_suites", "tls_min_version", "tls_max_version"} {
			idle(name, "QUIC always uses TLS 1.3 (RFC 9001 §4.2)")
		}
	}
	c.identity(u, table)
}

// handshakes checks what upstreams and [tls] say together.
func (c *checker) handshakes(out *Checked) {
	before := len(c.problems)
	for i := range out.Upstreams {
		u := &out.Upstreams[i]
		if !u.Encrypted() {
			continue
		}
		t := u.TLS(out.TLS)
		at := func(own, all string) value {
			entry := c.entryOf(u)
			if table, isTable := entry.data.(map[string]any); isTable && table[own] != nil {
				return entry.field(own, table[own])
			}
			if v := c.written(all); v.line > 0 {
				return v
			}
			return entry
		}
		if u.overQUIC() {
			t.MinVersion = tls.VersionTLS13
		}
		switch {
		case t.MaxVersion < tls.VersionTLS13 && u.overQUIC():
			c.fault(at("tls_max_version", "tls.max_version"), "%s needs TLS 1.3 (RFC 9001 §4.2), and the highest version is 1.2", u.URL)
		case t.MaxVersion < t.MinVersion:
			c.fault(at("tls_max_version", "tls.max_version"), "%s: the highest TLS version, 1.2, is below the lowest, 1.3", u.URL)
		case t.MaxVersion < tls.VersionTLS13 && t.ECH != ECHOff:
			c.fault(at("ech", "tls.ech"), "%s: Encrypted Client Hello needs TLS 1.3, and the highest version is 1.2", u.URL)
		}
		if t.MinVersion == tls.VersionTLS13 && u.CipherSuites != nil && len(t.CipherSuites) > 0 && !u.overQUIC() {
			c.fault(at("cipher_suites", "tls.cipher_suites"), "has no effect on %s: the lowest version is 1.3, whose suites are fixed", u.URL)
		}
		c.encryptedHello(u, &t, out, at)
	}
	if out.TLS.MaxVersion < out.TLS.MinVersion && !c.problems[before:].Broken() { // no upstream has told yet
		c.fault(c.anyOf("tls.max_version", "tls.min_version"), "the highest TLS version, 1.2, is below the lowest, 1.3")
	}
	if out.TLS.MinVersion == tls.VersionTLS13 && len(out.TLS.CipherSuites) > 0 {
		c.fault(c.written("tls.cipher_suites"), "has no effect: tls.min_version is 1.3, whose suites are fixed")
	}
}

// encryptedHello checks that there is a place to get ECH configurations from.
func (c *checker) encryptedHello(u *Upstream, t *TLS, out *Checked, at func(own, all string) value) {
	if t.ECH == ECHOff {
		if u.ECHConfig != nil {
			c.fault(at("ech_config", "tls.ech"), "has no effect: ech is %q; set it to %q or %q", ECHOff, ECHAuto, ECHRequire)
		}
		return
	}
	if u.ECHConfig != nil {
		return
	}
	report := c.fault
	if t.ECH == ECHAuto {
		report = c.warn
	}
	_, err := netip.ParseAddr(u.VerifiedName())
	switch {
	case err == nil:
		report(at("ech", "tls.ech"), "%s: nothing to look up for Encrypted Client Hello, for it has no name: set tls_name, or ech_config", u.URL)
	case len(out.Bootstrap.Servers) == 0 && !(out.Bootstrap.ThroughUpstreams && len(out.Upstreams) > 1):
		report(at("ech", "tls.ech"), "%s: nobody to ask for an Encrypted Client Hello configuration: set bootstrap.servers, or ech_config", u.URL)
	}
}
