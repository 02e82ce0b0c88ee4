package config

import (
	"crypto/tls"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/transport/trust"
)

var tlsVersions = []choice[uint16]{{"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

// Keys of [tls] that one upstream may overrule.
var (
	minVersionKey = choiceKey("tls.min_version", "1.2", tlsVersions, func(c *Checked) *uint16 { return &c.TLS.MinVersion }).reload()
	maxVersionKey = choiceKey("tls.max_version", "1.3", tlsVersions, func(c *Checked) *uint16 { return &c.TLS.MaxVersion }).reload()
	suitesKey     = key[Checked]{
		name: "tls.cipher_suites", standard: "[]", bounds: "0 to 16 names of suites of TLS 1.2",
		read: readSuites, get: func(c *Checked) any { return &c.TLS.CipherSuites },
	}.reload()
	groupsKey = key[Checked]{
		name: "tls.groups", standard: `["X25519MLKEM768", "x25519", "secp256r1", "secp384r1"]`, bounds: groupNames(),
		read: readGroups, get: func(c *Checked) any { return &c.TLS.Groups },
	}.reload()
	echKey = choiceKey("tls.ech", ECHOff, texts(ECHOff, ECHAuto, ECHRequire), func(c *Checked) *string { return &c.TLS.ECH }).reload()
)

// Keys of [tls] that hold for all.
var (
	keyLogKey = key[Checked]{
		name: "tls.key_log_file", standard: `""`, bounds: `a file, or "" for none`,
		read: readKeyLog, get: func(c *Checked) any { return &c.TLS.KeyLogFile },
	}.reload()
	expiryWarningKey = durationKey("tls.expiry_warning", 0, 365*24*time.Hour, 1, "336h",
		func(c *Checked) *time.Duration { return &c.TLS.ExpiryWarning }).reload()
)

// upstreamTLSKeys are the rest of what [[upstream]] says about TLS; tls_name, ca_file and insecure_tls are older than this table.
var upstreamTLSKeys = []key[Upstream]{
	key[Upstream]{
		name: "sni", standard: `""`, bounds: `a name, or "off"`,
		read: readSNI, get: func(u *Upstream) any { return &u.SNI },
	}.reload(),
	key[Upstream]{
		name: "pins", standard: "[]", bounds: "0 to 8 SHA-256 fingerprints in base64",
		read: readPins, get: func(u *Upstream) any { return &u.Pins },
	}.reload(),
	booleanKey("pin_only", false, func(u *Upstream) *bool { return &u.PinOnly }).reload(),
	key[Upstream]{
		name: "client_cert_file", standard: `""`, bounds: "a PEM file",
		read: textKey(func(u *Upstream) *string { return &u.ClientCertFile }), get: func(u *Upstream) any { return &u.ClientCertFile },
	}.reload(),
	key[Upstream]{
		name: "client_key_file", standard: `""`, bounds: "a PEM file",
		read: textKey(func(u *Upstream) *string { return &u.ClientKeyFile }), get: func(u *Upstream) any { return &u.ClientKeyFile },
	}.reload(),
	ownKey("tls_min_version", minVersionKey, func(u *Upstream) **uint16 { return &u.MinVersion }),
	ownKey("tls_max_version", maxVersionKey, func(u *Upstream) **uint16 { return &u.MaxVersion }),
	ownKey("cipher_suites", suitesKey, func(u *Upstream) **[]uint16 { return &u.CipherSuites }),
	ownKey("groups", groupsKey, func(u *Upstream) **[]tls.CurveID { return &u.Groups }),
	ownKey("ech", echKey, func(u *Upstream) **string { return &u.ECH }),
	key[Upstream]{
		name: "ech_config", standard: `""`, bounds: "an ECHConfigList in base64",
		read: readECHConfig, get: func(u *Upstream) any { return &u.ECHConfig },
	}.reload(),
}

func textKey(at func(*Upstream) *string) func(*checker, *Upstream, value) {
	return func(c *checker, u *Upstream, v value) {
		if text, ok := c.text(v); ok {
			*at(u) = text
		}
	}
}

func readSuites(c *checker, t *Checked, v value) {
	items, ok := c.oneOrMany(v, SuitesMax)
	if !ok {
		return
	}
	t.TLS.CipherSuites = nil // crypto/tls's own
	var known []string
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			known = append(known, s.Name)
		}
	}
	for _, item := range items {
		name, ok := c.text(item)
		if !ok {
			continue
		}
		named := func(s *tls.CipherSuite) bool { return s.Name == name }
		switch i := slices.IndexFunc(tls.CipherSuites(), named); {
		case slices.ContainsFunc(tls.InsecureCipherSuites(), named):
			c.fault(item, "%s is insecure and not offered to anybody", name)
		case i < 0:
			c.fault(item, "%q is not a cipher suite that we know; the nearest is %q", name, nearest(name, known))
		case !slices.Contains(known, name):
			c.fault(item, "%s belongs to TLS 1.3, whose suites are fixed and all secure: this list is about TLS 1.2", name)
		case slices.Contains(t.TLS.CipherSuites, tls.CipherSuites()[i].ID):
			c.fault(item, "%s is listed twice", name)
		default:
			t.TLS.CipherSuites = append(t.TLS.CipherSuites, tls.CipherSuites()[i].ID)
		}
	}
}

// groups under the names of the IANA registry "TLS Supported Groups".
var groups = []choice[tls.CurveID]{
	{"X25519MLKEM768", tls.X25519MLKEM768},
	{"SecP256r1MLKEM768", tls.SecP256r1MLKEM768},
	{"SecP384r1MLKEM1024", tls.SecP384r1MLKEM1024},
	{"x25519", tls.X25519},
	{"secp256r1", tls.CurveP256},
	{"secp384r1", tls.CurveP384},
	{"secp521r1", tls.CurveP521},
}

func groupNames() string {
	var names []string
	for _, g := range groups {
		names = append(names, g.text)
	}
	return "some of " + strings.Join(names, ", ")
}

func readGroups(c *checker, t *Checked, v value) {
	items, ok := c.oneOrMany(v, len(groups))
	if !ok {
		return
	}
	if len(items) == 0 {
		c.fault(v, "is empty: no key exchange would be possible")
	}
	t.TLS.Groups = nil
	for _, item := range items {
		name, ok := c.text(item)
		if !ok {
			continue
		}
		i := slices.IndexFunc(groups, func(g choice[tls.CurveID]) bool { return g.text == name })
		switch {
		case i < 0:
			c.fault(item, "%q is not %s", name, strings.Replace(groupNames(), "some", "one", 1))
		case slices.Contains(t.TLS.Groups, groups[i].means):
			c.fault(item, "%s is listed twice", name)
		default:
			t.TLS.Groups = append(t.TLS.Groups, groups[i].means)
		}
	}
}

func readKeyLog(c *checker, t *Checked, v value) {
	file, ok := c.text(v)
	if !ok || file == "" {
		return
	}
	t.TLS.KeyLogFile = file
	c.warn(v, "the secrets of ALL TLS connections to upstreams are written to %q: whoever reads that file can read every query. For debugging only; remove the key afterwards, and the file", file)
}

// SNIOff as upstream[].sni sends no server name at all.
const SNIOff = "off"

func readSNI(c *checker, u *Upstream, v value) {
	name, ok := c.text(v)
	if !ok {
		return
	}
	if name != "" && name != SNIOff && !hostName(name) {
		c.fault(v, "%q is not a host name", name) // RFC 6066 §3: addresses are not allowed in it
		return
	}
	u.SNI = name
}

func readPins(c *checker, u *Upstream, v value) {
	items, ok := c.oneOrMany(v, PinsMax)
	if !ok {
		return
	}
	u.Pins = nil
	for _, item := range items {
		text, ok := c.text(item)
		if !ok {
			continue
		}
		pin, err := trust.ParsePin(text)
		switch {
		case err != nil:
			c.fault(item, "%v", err)
		case slices.Contains(u.Pins, pin):
			c.fault(item, "%s is listed twice", pin)
		default:
			u.Pins = append(u.Pins, pin)
		}
	}
}

func readECHConfig(c *checker, u *Upstream, v value) {
	text, ok := c.text(v)
	if !ok || text == "" {
		return
	}
	list, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		c.fault(v, "is not base64: %v", err)
		return
	}
	if err := trust.Usable(list); err != nil {
		c.fault(v, "%v", err)
		return
	}
	u.ECHConfig = list
}

// identity reads the client certificate, so that what is wrong with it shows now and not at the first handshake. Whether the user that the
// process becomes may read it shows when it has become that.
func (c *checker) identity(u *Upstream, table value) {
	cert, key := table.field("client_cert_file", nil), table.field("client_key_file", nil)
	switch {
	case u.ClientCertFile == "" && u.ClientKeyFile == "":
		return
	case u.ClientKeyFile == "":
		c.fault(cert, "needs client_key_file, which may be the same file")
		return
	case u.ClientCertFile == "":
		c.fault(key, "needs client_cert_file, which may be the same file")
		return
	}
	if _, err := trust.LoadIdentity(u.ClientCertFile, u.ClientKeyFile); err != nil {
		c.fault(cert, "%v", err)
		return
	}
	if info, err := os.Stat(u.ClientKeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.warn(key, "%q can be read by every user of this machine (mode %04o): chmod o= it", u.ClientKeyFile, info.Mode().Perm())
	}
}
