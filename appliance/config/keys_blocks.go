package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/xdp"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
)

// blocksKeys is every key of [blocks].
var blocksKeys = []key[blocks.Config]{
	integerKey("ipv4_prefix", 8, 32, 32, func(b *blocks.Config) *int { return &b.IPv4Bits }).reload(),
	integerKey("ipv6_prefix", 16, 64, 64, func(b *blocks.Config) *int { return &b.IPv6Bits }).reload(),
	prefixesKey("exempt", "[]", func(b *blocks.Config) *[]netip.Prefix { return &b.Exempt }).reload(),
	key[blocks.Config]{
		name: "exempt_names", standard: `["in-addr.arpa", "ip6.arpa"]`, bounds: "0 to 4096 names",
		read: readExemptNames, get: func(b *blocks.Config) any { return &b.ExemptNames },
	}.reload(),
	key[blocks.Config]{
		name: "persist", standard: `""`, bounds: `an absolute path, or "" for off`, get: func(b *blocks.Config) any { return &b.File },
		read: func(c *checker, b *blocks.Config, v value) {
			if path, ok := c.absolutePath(v); ok {
				b.File = path
			}
		},
	}.reload(),
	{
		name: "kernel_interfaces", standard: "[]", bounds: "0 to 16 interfaces",
		read: readKernelInterfaces, get: func(b *blocks.Config) any { return &b.KernelInterfaces },
	},
	key[blocks.Config]{
		name: "rule", bounds: "tables [[blocks.rule]], 32 at most",
		read: readBlockRules, get: func(b *blocks.Config) any { return &b.Rules },
	}.reload(),
}

// blockRuleKeys is every key of one [[blocks.rule]].
var blockRuleKeys = []key[blocks.Rule]{
	key[blocks.Rule]{
		name: "name", bounds: "1 to 32 letters, digits, - and _", get: func(r *blocks.Rule) any { return &r.Name },
		read: func(c *checker, r *blocks.Rule, v value) {
			name, ok := c.text(v)
			if ok && (!poolName(name) || name == blocks.Operator) {
				c.fault(v, "%q is no name of a rule: 1 to 32 letters, digits, - and _, and not %q", name, blocks.Operator)
			}
			r.Name = name
		},
	}.reload(),
	choiceKey("of", "source", []choice[bool]{{"source", false}, {"name", true}}, func(r *blocks.Rule) *bool { return &r.Names }).reload(),
	choiceKey("watch", "query_rate", numbered[blocks.Watch](blocks.WatchNames[:]), func(r *blocks.Rule) *blocks.Watch { return &r.Watch }).reload(),
	choiceKey("rcode", "NXDOMAIN", []choice[census.RCode]{
		{"NXDOMAIN", census.NXDomain}, {"SERVFAIL", census.ServFail}, {"REFUSED", census.Refused}, {"other", census.OtherError},
	}, func(r *blocks.Rule) *census.RCode { return &r.RCode }).reload(),
	key[blocks.Rule]{
		name: "qtype", standard: `"ANY"`, bounds: "a record type", read: readBlockType, get: func(r *blocks.Rule) any { return &r.Type },
	}.reload(),
	durationKey("window", time.Second, time.Hour, time.Second, "10s", func(r *blocks.Rule) *time.Duration { return &r.Window }).reload(),
	amountKey("threshold", 1, thresholdMax, "", func(r *blocks.Rule) *float64 { return &r.Threshold }),
	amountKey("warn", 0, thresholdMax, "0", func(r *blocks.Rule) *float64 { return &r.Warn }),
	amountKey("least", 1, thresholdMax, "20", func(r *blocks.Rule) *float64 { return &r.Least }),
	amountKey("failed", 0, 100, "50", func(r *blocks.Rule) *float64 { return &r.Failed }),
	choiceKey("action", "drop", numbered[block.Action](block.ActionNames[:]), func(r *blocks.Rule) *block.Action { return &r.Action }).reload(),
	integerKey("rate", 0, block.RateMax, 0, func(r *blocks.Rule) *int { return &r.Rate }).reload(),
	durationKey("duration", time.Second, secondsMax, time.Second, "1m", func(r *blocks.Rule) *time.Duration { return &r.Duration }).reload(),
}

// numbered makes choices that stand for their places.
func numbered[V ~uint8](all []string) []choice[V] {
	var out []choice[V]
	for i, text := range all {
		out = append(out, choice[V]{text, V(i)})
	}
	return out
}

// amountKey is a number that is counted with fractions.
func amountKey(name string, low, high int64, standard string, at func(*blocks.Rule) *float64) key[blocks.Rule] {
	k := integerKey(name, low, high, 0, func(*blocks.Rule) *int { return new(int) }).reload()
	k.standard = standard
	k.get = func(r *blocks.Rule) any { return at(r) }
	k.read = func(c *checker, r *blocks.Rule, v value) {
		if n, ok := c.integer(v, low, high); ok {
			*at(r) = float64(n)
		}
	}
	return k
}

func readExemptNames(c *checker, b *blocks.Config, v value) {
	items, ok := c.oneOrMany(v, suffixesMax)
	if !ok {
		return
	}
	b.ExemptNames = nil
	for _, item := range items {
		if name, ok := c.name(item); ok {
			b.ExemptNames = append(b.ExemptNames, name)
		}
	}
}

func readKernelInterfaces(c *checker, b *blocks.Config, v value) {
	items, ok := c.oneOrMany(v, xdp.InterfacesMax)
	if !ok {
		return
	}
	for _, item := range items {
		name, ok := c.text(item)
		switch {
		case !ok:
		case name == "" || len(name) > interfaceBytesMax:
			c.fault(item, "%q is no name of an interface", name)
		case slices.Contains(b.KernelInterfaces, name):
			c.fault(item, "%q stands twice", name)
		default:
			b.KernelInterfaces = append(b.KernelInterfaces, name)
		}
	}
}

// interfaceBytesMax is the kernel's IFNAMSIZ without the final zero.
const interfaceBytesMax = 15

func readBlockType(c *checker, r *blocks.Rule, v value) {
	text, ok := c.text(v)
	if !ok {
		return
	}
	var known bool
	if r.Type, known = dns.StringToType[strings.ToUpper(text)]; !known || r.Type == dns.TypeNone {
		c.fault(v, "%q is not a record type", text)
	}
}

func readBlockRules(c *checker, b *blocks.Config, v value) {
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be tables, written [[blocks.rule]], not %s", v.kind())
		return
	}
	if len(items) > blocks.RulesMax {
		c.fault(v, "%d rules, at most %d are allowed", len(items), blocks.RulesMax)
		return
	}
	for _, item := range items {
		data, ok := item.data.(map[string]any)
		if !ok {
			c.fault(item, "must be a table, written [[blocks.rule]], not %s", item.kind())
			continue
		}
		var r blocks.Rule
		fill(c, blockRuleKeys, &r, item, data)
		b.Rules = append(b.Rules, r)
	}
}

// blockRules checks what no key of a rule can know by itself.
func (c *checker) blockRules(out *Checked) {
	rules := out.Blocks.Rules
	types := map[uint16]bool{}
	for i := range rules {
		r, path := &rules[i], joinIndex("blocks.rule", i)
		at := func(name string) value { return c.written(joinKey(path, name)).or(c.written(path)) }
		same := func(other blocks.Rule) bool { return other.Name == r.Name }
		switch {
		case r.Name == "" && c.written(joinKey(path, "name")).line == 0:
			c.fault(c.written(path), "has no name: logs and metrics need one")
		case slices.ContainsFunc(rules[:i], same):
			c.fault(at("name"), "%q is another rule's name", r.Name)
		}
		c.blockThresholds(r, path)
		switch {
		case r.Names && !r.Watch.OfNames():
			c.fault(at("watch"), "%q cannot be watched of names, only of sources", r.Watch)
		case !r.Names && !r.Watch.OfSources():
			c.fault(at("watch"), `%q is of names: write of = "name"`, r.Watch)
		case r.Names && r.Action == block.Truncate:
			c.fault(at("action"), "sends clients to TCP, where the name would be asked for all the same: use \"limit\" or \"refuse\"")
		}
		if (r.Action == block.Limit) != (r.Rate > 0) {
			c.fault(at("rate"), `rate goes with action = "limit", which needs it`)
		}
		if r.Watch == blocks.TypeRate {
			types[r.Type] = true
		}
		c.idleBlockKeys(r, path)
	}
	if len(types) > census.TypesMax {
		c.fault(c.written("blocks.rule"), "%d record types are watched, at most %d can be", len(types), census.TypesMax)
	}
	if n := len(out.Blocks.Windows()); n > blocks.WindowsMax {
		c.fault(c.written("blocks.rule"), "%d different windows, at most %d are allowed: let rules share them", n, blocks.WindowsMax)
	}
}

// blockThresholds checks the numbers of a rule.
func (c *checker) blockThresholds(r *blocks.Rule, path string) {
	v := c.written(joinKey(path, "threshold"))
	switch {
	case v.line == 0:
		c.fault(c.written(path), "has no threshold")
	case r.Watch.Ratio() && r.Threshold > 100:
		c.fault(v, "%v is more than all: %q is in percent", r.Threshold, r.Watch)
	case r.Warn >= r.Threshold && r.Threshold > 0:
		c.fault(c.written(joinKey(path, "warn")), "%v is no warning before the threshold of %v", r.Warn, r.Threshold)
	}
}

// idleBlockKeys refuses settings that would have no effect.
func (c *checker) idleBlockKeys(r *blocks.Rule, path string) {
	for _, only := range []struct {
		key     string
		effect  bool
		watches string
	}{
		{"rcode", r.Watch == blocks.RCodeRate || r.Watch == blocks.RCodeRatio, `"rcode_rate" or "rcode_ratio"`},
		{"qtype", r.Watch == blocks.TypeRate, `"qtype_rate"`},
		{"least", r.Watch.Ratio(), `"rcode_ratio" or "miss_ratio"`},
		{"failed", r.Watch == blocks.RandomNames, `"random_names"`},
	} {
		if v := c.written(joinKey(path, only.key)); v.line != 0 && !only.effect {
			c.fault(v, "has no effect with watch = %q, only with %s", r.Watch, only.watches)
		}
	}
}
