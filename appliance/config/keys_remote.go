package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/transport/tier"
)

// What cache.remote.kind may be.
const (
	RemoteOff       = "off"
	RemoteRedis     = "redis"
	RemoteMemcached = "memcached"
)

// Secret is a text that is not to be shown: it prints as stars.
type Secret string

// String hides it.
func (s Secret) String() string { return "***" }

// GoString hides it.
func (s Secret) GoString() string { return "***" }

// Remote is the cache that instances share. Two that are equal in all but Budget and Breaker can be served by the same connections.
type Remote struct {
	Kind       string // one of RemoteOff, RemoteRedis, RemoteMemcached
	Mode       tier.Mode
	Addresses  []netip.AddrPort
	MasterName string
	Servers    Credentials
	Sentinels  Credentials
	DB         int
	TLS        bool
	CAFile     string
	Roots      *x509.CertPool // nil = the roots of the system
	TLSName    string         // name to verify; empty = the server's address

	ClientCertFile, ClientKeyFile string   // both or none
	Identity                      [32]byte // SHA-256 of their content: others are other certificates

	Prefix     string
	Budget     time.Duration
	Timeout    time.Duration
	MaxValue   int // bytes
	WriteQueue int // bytes, per worker
	Breaker    tier.BreakerConfig
}

// Credentials are who we are to servers that ask.
type Credentials struct {
	Username     string
	Password     Secret // none, and none in PasswordFile = no authentication
	PasswordFile string // with its content in FromFile
	FromFile     Secret
}

// Secret returns the password, wherever it was written.
func (c *Credentials) Secret() string {
	if c.PasswordFile != "" {
		return string(c.FromFile)
	}
	return string(c.Password)
}

// SameServers returns whether connections made for r can serve other too.
func (r *Remote) SameServers(other *Remote) bool {
	a, b := *r, *other
	if (a.Roots == nil) != (b.Roots == nil) || a.Roots != nil && !a.Roots.Equal(b.Roots) || !slices.Equal(a.Addresses, b.Addresses) {
		return false
	}
	plain := func(r *Remote) []any {
		return []any{
			r.Kind, r.Mode, r.MasterName, r.Servers.Username, r.Servers.Secret(), r.Sentinels.Username, r.Sentinels.Secret(), r.DB, r.TLS, r.TLSName, r.Identity, r.Prefix, r.Timeout, r.MaxValue, r.WriteQueue,
		}
	}
	return slices.Equal(plain(&a), plain(&b))
}

// remoteKeys are the keys of [cache.remote].
var remoteKeys = slices.Concat([]key[Remote]{
	choiceKey("kind", RemoteOff, texts(RemoteOff, RemoteRedis, RemoteMemcached), func(r *Remote) *string { return &r.Kind }).reload(),
	key[Remote]{
		name: "addresses", standard: "[]", bounds: "0 to 16 of IP:port",
		read: readRemoteAddresses, get: func(r *Remote) any { return &r.Addresses },
	}.reload(),
	choiceKey("mode", "single", []choice[tier.Mode]{{"single", tier.Single}, {"cluster", tier.Cluster}, {"sentinel", tier.Sentinel}},
		func(r *Remote) *tier.Mode { return &r.Mode }).reload(),
	plainTextKey("master_name", "a name", func(r *Remote) *string { return &r.MasterName }).reload(),
}, credentialKeys("", func(r *Remote) *Credentials { return &r.Servers }), credentialKeys("sentinel_", func(r *Remote) *Credentials { return &r.Sentinels }), []key[Remote]{
	integerKey("db", 0, 1023, 0, func(r *Remote) *int { return &r.DB }).reload(),
	booleanKey("tls", false, func(r *Remote) *bool { return &r.TLS }).reload(),
	key[Remote]{
		name: "ca_file", standard: `""`, bounds: "a PEM file",
		read: func(c *checker, r *Remote, v value) { r.CAFile, r.Roots = c.roots(v) }, get: func(r *Remote) any { return &r.Roots },
	}.reload(),
	plainTextKey("tls_name", "a name or an IP address", func(r *Remote) *string { return &r.TLSName }).reload(),
	plainTextKey("client_cert_file", "a PEM file", func(r *Remote) *string { return &r.ClientCertFile }).reload(),
	plainTextKey("client_key_file", "a PEM file", func(r *Remote) *string { return &r.ClientKeyFile }).reload(),
	key[Remote]{
		name: "prefix", standard: `"sdp"`, bounds: "a text of 0 to 64 printable characters without spaces",
		read: readRemotePrefix, get: func(r *Remote) any { return &r.Prefix },
	}.reload(),
	durationKey("budget", tier.BudgetMin, tier.BudgetMax, time.Microsecond, "5ms", func(r *Remote) *time.Duration { return &r.Budget }).reload(),
	durationKey("timeout", tier.TimeoutMin, tier.TimeoutMax, 1, "1s", func(r *Remote) *time.Duration { return &r.Timeout }).reload(),
	sizeKey("max_value", tier.MessageBytesMin, tier.ValueBytesLimit, "4KiB", func(r *Remote) *int { return &r.MaxValue }).reload(),
	sizeKey("write_queue", tier.FillBytesMin, tier.FillBytesMax, "1MiB", func(r *Remote) *int { return &r.WriteQueue }).reload(),
	integerKey("breaker_percent", 1, 100, 50, func(r *Remote) *int { return &r.Breaker.Percent }).reload(),
	durationKey("breaker_rest", tier.RestMin, tier.RestLimit, 1, "1s", func(r *Remote) *time.Duration { return &r.Breaker.Rest }).reload(),
	durationKey("breaker_max_rest", tier.RestMin, tier.RestLimit, 1, "1m", func(r *Remote) *time.Duration { return &r.Breaker.RestMax }).reload(),
})

// credentialKeys are a name and a password, in the file or in one of its own.
func credentialKeys(prefix string, at func(*Remote) *Credentials) []key[Remote] {
	return []key[Remote]{
		plainTextKey(prefix+"username", "a name", func(r *Remote) *string { return &at(r).Username }).reload(),
		key[Remote]{
			name: prefix + "password", standard: `""`, bounds: "a text",
			read: func(c *checker, r *Remote, v value) { c.readPassword(at(r), v) }, get: func(r *Remote) any { return &at(r).Password },
		}.reload(),
		key[Remote]{
			name: prefix + "password_file", standard: `""`, bounds: `a file, or "" for none`,
			read: func(c *checker, r *Remote, v value) { c.readPasswordFile(at(r), v) }, get: func(r *Remote) any { return &at(r).FromFile },
		}.reload(),
	}
}

// plainTextKey is any text, empty by default.
func plainTextKey(name, bounds string, at func(*Remote) *string) key[Remote] {
	return key[Remote]{
		name: name, standard: `""`, bounds: bounds, get: func(r *Remote) any { return at(r) },
		read: func(c *checker, r *Remote, v value) {
			if text, ok := c.text(v); ok {
				*at(r) = text
			}
		},
	}
}

func readRemoteAddresses(c *checker, r *Remote, v value) {
	items, ok := c.oneOrMany(v, tier.AddressesMax)
	if !ok {
		return
	}
	r.Addresses = nil
	for _, item := range items {
		ap, ok := c.addrPort(item, 0)
		switch {
		case !ok:
		case ap.Port() == 0:
			c.fault(item, "port 0 is out of range (1 to 65535)")
		case slices.Contains(r.Addresses, ap):
			c.fault(item, "%s is listed twice", ap)
		default:
			r.Addresses = append(r.Addresses, ap)
		}
	}
}

func (c *checker) readPassword(to *Credentials, v value) {
	if text, ok := c.text(v); ok {
		to.Password = Secret(text)
	}
}

func (c *checker) readPasswordFile(to *Credentials, v value) {
	to.PasswordFile, to.FromFile = "", ""
	file, text, ok := c.secretFile(v, "it is a password of the cache that instances share")
	if !ok {
		return
	}
	if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
		c.fault(v, "%q is empty", file)
		return
	}
	to.PasswordFile, to.FromFile = file, Secret(text)
}

func readRemotePrefix(c *checker, r *Remote, v value) {
	text, ok := c.text(v)
	if !ok {
		return
	}
	if len(text) > tier.PrefixBytesMax || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
		c.fault(v, "%q is not a text of 0 to %d printable ASCII characters without spaces", text, tier.PrefixBytesMax)
		return
	}
	r.Prefix = text
}

// remote checks what no single key of [cache.remote] can know.
func (c *checker) remote(out *Checked) {
	r := &out.Cache.Remote
	at := func(name string) value { return c.written("cache.remote." + name) }
	if r.Kind == RemoteOff {
		return
	}
	if !out.Cache.Enabled {
		c.fault(at("kind"), "needs cache.enabled: it is asked for what this instance's own cache does not have")
	}
	switch n := len(r.Addresses); {
	case n == 0:
		c.fault(at("kind"), "needs cache.remote.addresses")
	case n > 1 && r.Kind == RemoteRedis && r.Mode == tier.Single:
		c.fault(at("addresses"), "%d servers: only one can be asked, unless mode is \"cluster\" or \"sentinel\"", n)
	}
	c.remoteKind(r, at)
	if (r.Mode == tier.Sentinel) != (r.MasterName != "") {
		c.fault(at("master_name"), "sentinels need the name of their master, and nothing else has one")
	}
	if r.Mode == tier.Cluster && r.DB != 0 {
		c.fault(at("db"), "%d: a cluster has only database 0", r.DB)
	}
	c.credentials(&r.Servers, "", at)
	c.credentials(&r.Sentinels, "sentinel_", at)
	if r.Mode != tier.Sentinel && r.Kind == RemoteRedis {
		for name, used := range map[string]bool{
			"sentinel_username": r.Sentinels.Username != "", "sentinel_password": r.Sentinels.Password != "", "sentinel_password_file": r.Sentinels.PasswordFile != "",
		} {
			if used {
				c.fault(at(name), "needs mode = \"sentinel\"")
			}
		}
	}
	if r.Breaker.RestMax < r.Breaker.Rest {
		c.fault(at("breaker_max_rest"), "%s is less than breaker_rest (%s)", durationText(r.Breaker.RestMax), durationText(r.Breaker.Rest))
	}
	c.remoteTLS(r, at)
}

// credentials checks a name and a password.
func (c *checker) credentials(who *Credentials, prefix string, at func(string) value) {
	if who.Password != "" && who.PasswordFile != "" {
		c.fault(at(prefix+"password_file"), "%spassword stands there, too: write one of them", prefix)
	}
	if who.Username != "" && who.Secret() == "" {
		c.fault(at(prefix+"username"), "needs a password")
	}
}

// remoteKind finds what memcached does not know.
func (c *checker) remoteKind(r *Remote, at func(string) value) {
	if r.Kind != RemoteMemcached {
		return
	}
	for name, used := range map[string]bool{
		"mode": r.Mode != tier.Single, "username": r.Servers.Username != "", "password": r.Servers.Password != "", "password_file": r.Servers.PasswordFile != "", "db": r.DB != 0,
		"sentinel_username": r.Sentinels.Username != "", "sentinel_password": r.Sentinels.Password != "", "sentinel_password_file": r.Sentinels.PasswordFile != "",
	} {
		if used {
			c.fault(at(name), "memcached has no such thing")
		}
	}
}

// remoteTLS reads the client certificate, so that what is wrong with it shows now.
func (c *checker) remoteTLS(r *Remote, at func(string) value) {
	if !r.TLS {
		for name, used := range map[string]bool{
			"ca_file": r.CAFile != "", "tls_name": r.TLSName != "", "client_cert_file": r.ClientCertFile != "", "client_key_file": r.ClientKeyFile != "",
		} {
			if used {
				c.fault(at(name), "needs tls = true")
			}
		}
		return
	}
	switch {
	case r.ClientCertFile == "" && r.ClientKeyFile == "":
	case r.ClientKeyFile == "":
		c.fault(at("client_cert_file"), "needs client_key_file, which may be the same file")
	case r.ClientCertFile == "":
		c.fault(at("client_key_file"), "needs client_cert_file, which may be the same file")
	default:
		pair, err := tls.LoadX509KeyPair(r.ClientCertFile, r.ClientKeyFile)
		if err != nil {
			c.fault(at("client_cert_file"), "%v", err)
			return
		}
		r.Identity = sha256.Sum256(bytes.Join(pair.Certificate, nil))
	}
}
