package config

import (
	"encoding/base64"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/rpz"
	policy "secure-dns-proxy/worker/rpz"
)

// rpzKeys is every key of [rpz].
var rpzKeys = []key[rpz.Config]{
	{
		name: "notify_listen", standard: `""`, bounds: `IP:port, or "" for none`,
		read: readNotifyListen, get: func(r *rpz.Config) any { return &r.Notify },
	},
	key[rpz.Config]{
		name: "directory", standard: `""`, bounds: `a directory, or "" for none`,
		read: readDirectory, get: func(r *rpz.Config) any { return &r.Directory },
	}.reload(),
	integerKey("log_rate", 0, rpz.LogRateMax, 10, func(r *rpz.Config) *int { return &r.LogRate }).reload(),
	key[rpz.Config]{
		name: "zone", bounds: "tables [[rpz.zone]], 32 at most",
		read: readPolicyZones, get: func(r *rpz.Config) any { return &r.Zones },
	}.reload(),
}

// policyZoneKeys is every key of one [[rpz.zone]].
var policyZoneKeys = []key[rpz.Zone]{
	key[rpz.Zone]{
		name: "name", bounds: "a domain name", get: func(z *rpz.Zone) any { return &z.Name },
		read: func(c *checker, z *rpz.Zone, v value) { z.Name, _ = c.name(v) },
	}.reload(),
	key[rpz.Zone]{
		name: "file", standard: `""`, bounds: "a zone file", get: func(z *rpz.Zone) any { return &z.File },
		read: func(c *checker, z *rpz.Zone, v value) { z.File, _ = c.text(v) },
	}.reload(),
	key[rpz.Zone]{
		name: "primaries", standard: "[]", bounds: "0 to 8 of IP or IP:port", get: func(z *rpz.Zone) any { return &z.Primaries },
		read: readPrimaries,
	}.reload(),
	key[rpz.Zone]{
		name: "tsig_name", standard: `""`, bounds: "a domain name", get: func(z *rpz.Zone) any { return &z.Key.Name },
		read: func(c *checker, z *rpz.Zone, v value) {
			if text, _ := v.data.(string); text != "" {
				z.Key.Name, _ = c.name(v)
			} else {
				c.text(v)
			}
		},
	}.reload(),
	choiceKey("tsig_algorithm", "hmac-sha256", texts(slices.Sorted(maps.Keys(rpz.Algorithms))...), func(z *rpz.Zone) *string { return &z.Key.Algorithm }).reload(),
	key[rpz.Zone]{
		name: "tsig_secret", standard: `""`, bounds: "base64", get: func(z *rpz.Zone) any { return &z.Key.Secret },
		read: func(c *checker, z *rpz.Zone, v value) {
			if text, ok := c.text(v); ok && text != "" {
				z.Key.Secret = c.secret(v, text)
			}
		},
	}.reload(),
	key[rpz.Zone]{
		name: "tsig_secret_file", standard: `""`, bounds: "a file with base64", get: func(z *rpz.Zone) any { return &z.Key.Secret },
		read: readSecretFile,
	}.reload(),
	choiceKey("policy", "given", numbered[policy.Override](policy.OverrideNames[:]), func(z *rpz.Zone) *policy.Override { return &z.Override }).reload(),
	key[rpz.Zone]{
		name: "policy_cname", standard: `""`, bounds: `a domain name, "*." before it for the name asked for`, get: func(z *rpz.Zone) any { return &z.CNAME },
		read: func(c *checker, z *rpz.Zone, v value) {
			if text, _ := v.data.(string); text != "" {
				z.CNAME, _ = c.name(v)
			} else {
				c.text(v)
			}
		},
	}.reload(),
	key[rpz.Zone]{
		name: "break_dnssec", standard: "true", bounds: "true or false", get: func(z *rpz.Zone) any { return &z.KeepSigned },
		read: func(c *checker, z *rpz.Zone, v value) {
			if b, ok := c.boolean(v); ok {
				z.KeepSigned = !b
			}
		},
	}.reload(),
	booleanKey("log", false, func(z *rpz.Zone) *bool { return &z.Log }).reload(),
	durationKey("min_refresh", time.Second, 24*time.Hour, time.Second, "10s", func(z *rpz.Zone) *time.Duration { return &z.MinRefresh }).reload(),
	durationKey("max_refresh", time.Second, 30*24*time.Hour, time.Second, "24h", func(z *rpz.Zone) *time.Duration { return &z.MaxRefresh }).reload(),
}

func readNotifyListen(c *checker, r *rpz.Config, v value) {
	r.Notify = netip.AddrPort{}
	if s, isText := v.data.(string); isText && s == "" {
		return
	}
	if ap, ok := c.addrPort(v, 0); ok {
		r.Notify = ap
	}
}

func readDirectory(c *checker, r *rpz.Config, v value) {
	text, ok := c.text(v)
	if !ok || text == "" {
		return
	}
	if info, err := os.Stat(text); err != nil {
		c.fault(v, "%q: %s", text, fileFault(err))
	} else if !info.IsDir() {
		c.fault(v, "%q is no directory", text)
	}
	r.Directory = text
}

func readPrimaries(c *checker, z *rpz.Zone, v value) {
	items, ok := c.oneOrMany(v, rpz.PrimariesMax)
	if !ok {
		return
	}
	z.Primaries = nil
	for _, item := range items {
		if ap, ok := c.addrPort(item, 53); ok {
			z.Primaries = append(z.Primaries, ap)
		}
	}
}

// secret checks a TSIG secret, which no message repeats.
func (c *checker) secret(v value, text string) string {
	if raw, err := base64.StdEncoding.DecodeString(text); err != nil || len(raw) == 0 {
		c.fault(v, "is not base64")
		return ""
	}
	return text
}

func readSecretFile(c *checker, z *rpz.Zone, v value) {
	_, text, ok := c.secretFile(v, "who knows a TSIG secret can forge a zone")
	if !ok {
		return
	}
	z.Key.Secret = c.secret(v, strings.TrimSpace(string(text)))
}

func readPolicyZones(c *checker, r *rpz.Config, v value) {
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be tables, written [[rpz.zone]], not %s", v.kind())
		return
	}
	if len(items) > rpz.ZonesMax {
		c.fault(v, "%d zones, at most %d are allowed", len(items), rpz.ZonesMax)
		return
	}
	r.Zones = nil
	for _, item := range items {
		data, ok := item.data.(map[string]any)
		if !ok {
			c.fault(item, "must be a table, written [[rpz.zone]], not %s", item.kind())
			continue
		}
		var z rpz.Zone
		fill(c, policyZoneKeys, &z, item, data)
		z.Key.Algorithm = dns.Fqdn(z.Key.Algorithm)
		r.Zones = append(r.Zones, z)
	}
}

// policyZones checks what no key of a zone can know by itself.
func (c *checker) policyZones(out *Checked) {
	names, secrets := map[string]bool{}, map[string]rpz.Key{}
	for i := range out.RPZ.Zones {
		z, path := &out.RPZ.Zones[i], joinIndex("rpz.zone", i)
		has := func(key string) bool { return c.written(path+"."+key).line != 0 }
		at := func(key string) value { return c.written(path + "." + key).or(c.written(path)) }
		switch {
		case z.Name == "":
			if !has("name") {
				c.fault(at("name"), "has no name: below which name are its triggers?")
			}
		case names[z.Name]:
			c.fault(at("name"), "%q stands twice", z.Name)
		}
		names[z.Name] = true
		if (z.File == "") == (len(z.Primaries) == 0) {
			c.fault(at("file"), "needs file or primaries, one of them: where does it come from?")
		}
		if z.MinRefresh > z.MaxRefresh {
			c.fault(at("max_refresh"), "min_refresh (%s) is more than max_refresh (%s)", durationText(z.MinRefresh), durationText(z.MaxRefresh))
		}
		if (z.CNAME != "") != (z.Override == policy.OverrideCNAME) {
			c.fault(at("policy_cname"), "policy_cname and policy = \"cname\" belong together")
		}
		if has("tsig_secret") && has("tsig_secret_file") {
			c.fault(at("tsig_secret"), "stands beside tsig_secret_file: keep one of them")
		}
		if (z.Key.Name != "") != (z.Key.Secret != "") {
			c.fault(at("tsig_name"), "a key has a name (tsig_name) and a secret (tsig_secret or tsig_secret_file), or there is none")
		}
		if other, known := secrets[z.Key.Name]; known && z.Key.Name != "" && other != z.Key {
			c.fault(at("tsig_name"), "%q has another secret or algorithm in another zone", z.Key.Name)
		}
		secrets[z.Key.Name] = z.Key
		for _, key := range []string{"tsig_name", "tsig_secret", "tsig_secret_file", "tsig_algorithm", "min_refresh", "max_refresh"} {
			if has(key) && z.File != "" {
				c.fault(at(key), "has no effect on a zone that is a file")
			}
		}
	}
}
