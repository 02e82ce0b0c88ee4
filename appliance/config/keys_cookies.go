package config

import (
	"encoding/hex"
	"strings"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cookie"
)

// Cookies is how clients and this server know each other again (RFC 7873), and how this one is told from others (RFC 5001).
type Cookies struct {
	Enabled    bool
	Secrets    []cookie.Secret // none, and none in SecretFile = one of the process's own
	SecretFile string          // with its content in FromFile
	FromFile   []cookie.Secret
	NSID       string // "" = not told
}

// All returns the secrets, wherever they were written.
func (c *Cookies) All() []cookie.Secret {
	if c.SecretFile != "" {
		return c.FromFile
	}
	return c.Secrets
}

// cookieKeys are keys of [edns].
var cookieKeys = []key[Cookies]{
	booleanKey("cookies", true, func(c *Cookies) *bool { return &c.Enabled }).reload(),
	key[Cookies]{
		name: "cookie_secrets", standard: "[]", bounds: "0 to 4 of 32 hexadecimal digits",
		read: readCookieSecrets, get: func(c *Cookies) any { return &c.Secrets },
	}.reload(),
	key[Cookies]{
		name: "cookie_secret_file", standard: `""`, bounds: `a file with 1 to 4 such secrets, or "" for none`,
		read: readCookieSecretFile, get: func(c *Cookies) any { return &c.FromFile },
	}.reload(),
	key[Cookies]{
		name: "nsid", standard: `""`, bounds: "a text of 0 to 64 bytes",
		read: readNSID, get: func(c *Cookies) any { return &c.NSID },
	}.reload(),
}

func readCookieSecrets(c *checker, t *Cookies, v value) {
	items, ok := c.oneOrMany(v, cookie.SecretsMax)
	if !ok {
		return
	}
	t.Secrets = nil
	for _, item := range items {
		text, ok := c.text(item)
		if !ok {
			return
		}
		secret, ok := cookieSecret(text)
		if !ok {
			c.fault(item, "is not a secret of 32 hexadecimal digits (16 bytes)") // not shown: it may be one, with a typing error
			return
		}
		t.Secrets = append(t.Secrets, secret)
	}
	c.secrets(v, t.Secrets)
}

func cookieSecret(text string) (cookie.Secret, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(cookie.Secret{}) {
		return cookie.Secret{}, false
	}
	return cookie.Secret(raw), true
}

// secrets checks what no single one of them can know.
func (c *checker) secrets(v value, all []cookie.Secret) {
	if len(all) == 0 {
		return
	}
	if _, err := cookie.New(all); err != nil {
		c.fault(v, "%v", err)
	}
}

// readCookieSecretFile reads a file of secrets: one on a line, and what begins with # is left out.
func readCookieSecretFile(c *checker, t *Cookies, v value) {
	t.SecretFile, t.FromFile = "", nil
	file, text, ok := c.secretFile(v, "who knows a secret can forge cookies")
	if !ok {
		return
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		secret, ok := cookieSecret(line)
		if !ok {
			c.fault(v, "line %d of %q is not a secret of 32 hexadecimal digits (16 bytes)", number, file)
			return
		}
		t.FromFile = append(t.FromFile, secret)
	}
	if len(t.FromFile) == 0 {
		c.fault(v, "%q holds no secret", file)
		return
	}
	t.SecretFile = file
	c.secrets(v, t.FromFile)
}

func readNSID(c *checker, t *Cookies, v value) {
	text, ok := c.text(v)
	if ok && len(text) > wire.NSIDBytesMax {
		c.fault(v, "has %d bytes, at most %d are allowed", len(text), wire.NSIDBytesMax)
		return
	}
	t.NSID = text
}

// cookies checks what no single key can know.
func (c *checker) cookies(out *Checked) {
	k := &out.Cookies
	if k.SecretFile != "" && len(k.Secrets) != 0 {
		c.fault(c.written("edns.cookie_secret_file"), "and edns.cookie_secrets both have secrets: write them in one of the two")
	}
	if !k.Enabled && len(k.All()) != 0 {
		c.warn(c.anyOf("edns.cookie_secrets", "edns.cookie_secret_file"), "has no effect: edns.cookies is false")
	}
}
