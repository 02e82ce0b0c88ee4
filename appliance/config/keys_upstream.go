package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
)

// upstreamKeys is every key of one [[upstream]] table.
var upstreamKeys = slices.Concat([]key[Upstream]{
	key[Upstream]{
		name: "url", bounds: "udp://, tcp://, tls://, quic://, https:// or h3:// and a host, or embedded:",
		read: readURL, get: func(u *Upstream) any { return &u.URL },
	}.reload(),
	key[Upstream]{
		name: "tls_name", standard: `""`, bounds: "a name or an IP address",
		read: readTLSName, get: func(u *Upstream) any { return &u.TLSName },
	}.reload(),
	key[Upstream]{
		name: "ca_file", standard: `""`, bounds: "a PEM file",
		read: readUpstreamRoots, get: func(u *Upstream) any { return &u.Roots },
	}.reload(),
	booleanKey("insecure_tls", false, func(u *Upstream) *bool { return &u.InsecureTLS }).reload(),
	key[Upstream]{
		name: "addresses", standard: "[]", bounds: "0 to 16 IP addresses",
		read: readAddresses, get: func(u *Upstream) any { return &u.Addresses },
	}.reload(),
	integerKey("connections", 1, connectionsMax, 1, func(u *Upstream) *int { return &u.Connections }).reload(),
	ownKey("dial_timeout", dialKey, func(u *Upstream) **time.Duration { return &u.DialTimeout }),
	ownKey("idle_timeout", idleKey, func(u *Upstream) **time.Duration { return &u.IdleTimeout }),
	key[Upstream]{
		name: "pools", standard: `["default"]`, bounds: "1 to 16 names of pools",
		read: readUpstreamPools, get: func(u *Upstream) any { return &u.Pools },
	}.reload().apart(),
	integerKey("weight", 1, balance.WeightMax, 1, func(u *Upstream) *int { return &u.Weight }).reload().apart(),
	integerKey("max_outstanding", 0, outstandingMax, 0, func(u *Upstream) *int { return &u.MaxOutstanding }).reload().apart(),
	ownKey("padding", paddingKey, func(u *Upstream) **int { return &u.Padding }),
	ownKey("max_queries", maxQueriesKey, func(u *Upstream) **int { return &u.MaxQueries }),
	ownKey("max_age", maxAgeKey, func(u *Upstream) **time.Duration { return &u.MaxAge }),
	ownKey("edns_keepalive", ednsKeepaliveKey, func(u *Upstream) **bool { return &u.EDNSKeepalive }),
	ownKey("fast_open", fastOpenKey, func(u *Upstream) **bool { return &u.FastOpen }),
	choiceKey("method", "auto", texts("auto", "get", "post"), func(u *Upstream) *string { return &u.Method }).reload(),
	choiceKey("http3", "off", texts("off", "probe", "only"), func(u *Upstream) *string { return &u.HTTP3 }).reload(),
	key[Upstream]{
		name: "health", standard: "{}", bounds: "a table with keys of [health]",
		read: readOwnHealth, get: func(u *Upstream) any { return &u.Health },
	}.reload().apart(),
	choiceKey("state", "auto", []choice[health.Manual]{
		{"auto", health.Auto},
		{"up", health.Use},
		{"down", health.Avoid},
		{"drain", health.Drain},
	}, func(u *Upstream) *health.Manual { return &u.State }).reload().apart(),
	choiceKey("ddr", DDROff, texts(DDROff, DDRUpgrade, DDRRequire), func(u *Upstream) *string { return &u.DDR }).reload(),
	booleanKey("ddr_opportunistic", false, func(u *Upstream) *bool { return &u.DDROpportunistic }).reload(),
	booleanKey("ddr_downgrade", false, func(u *Upstream) *bool { return &u.DDRDowngrade }).reload(),
}, upstreamTLSKeys, upstreamQUICKeys)

func readTLSName(c *checker, u *Upstream, v value) {
	name, ok := c.text(v)
	if !ok || name == "" {
		return
	}
	if _, err := netip.ParseAddr(name); err != nil && !hostName(name) {
		c.fault(v, "%q is not a host name", name)
		return
	}
	u.TLSName = name
}

func readUpstreamRoots(c *checker, u *Upstream, v value) {
	u.CAFile, u.Roots = c.roots(v)
}

func readRoots(c *checker, t *Checked, v value) {
	t.TLS.CAFile, t.TLS.Roots = c.roots(v)
}

// roots reads certificates; a missing file, or one without a certificate, would only show as "unknown authority" later.
func (c *checker) roots(v value) (string, *x509.CertPool) {
	file, ok := c.text(v)
	if !ok || file == "" {
		return "", nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		c.fault(v, "%q: %s", file, fileFault(err))
		return "", nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		c.fault(v, "%q holds no PEM certificate", file)
		return "", nil
	}
	return file, pool
}

func readAddresses(c *checker, u *Upstream, v value) {
	u.Addresses = c.addresses(v)
}

// addresses reads one IP address or a list of them.
func (c *checker) addresses(v value) []netip.Addr {
	items, ok := c.oneOrMany(v, AddressesMax)
	if !ok {
		return nil
	}
	var out []netip.Addr
	for _, item := range items {
		if a, ok := c.addr(item); ok {
			out = append(out, a)
		}
	}
	return out
}

// String names an upstream in messages.
func (u *Upstream) String() string { return fmt.Sprintf("%q", u.URL) }
