package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// actionTable is the action of a rule while it is read.
type actionTable struct {
	policy.Action
	kind               string
	records            []value
	continueOther      bool // types without a record go on
	ttl                uint32
	zone, mname, rname []byte
	edns               ednsAction
}

// actionTypes says which keys an action has: those it must have, and after "" those that it may have.
var actionTypes = map[string][]string{
	"allow":         {},
	"drop":          {},
	"refuse":        {"", "ede", "ede_text"},
	"rcode":         {"rcode", "", "ede", "ede_text"},
	"truncate":      {"", "ede", "ede_text"},
	"answer":        {"records", "", "record_ttl", "other_types", "ede", "ede_text"},
	"negative":      {"rcode", "zone", "", "record_ttl", "mname", "rname", "ede", "ede_text"},
	"pool":          {"pool", "", "continue"},
	"delay":         {"wait"},
	"skip_cache":    {},
	"ede":           {"", "ede", "ede_text"},
	"ttl":           {"", "min_ttl", "max_ttl"},
	"tag":           {"", "set", "unset"},
	"no_recurse":    {},
	"no_validation": {},
	"log":           {"", "per_second", "burst"},
	"tee":           {"pool"},
	"rate_limit":    {"per_second", "", "burst", "per", "then", "ipv4_prefix", "ipv6_prefix", "sources", "ede", "ede_text"},
	"client_subnet": {"client_subnet", "", "client_subnet_ipv4", "client_subnet_ipv6", "client_subnet_private", "network"},
	"set_option":    {"option", "", "data"},
	"strip_option":  {"option"},
}

// actionKeys is every key of an action.
var actionKeys = slices.Concat([]key[actionTable]{
	choiceKey("type", "", texts(slices.Sorted(maps.Keys(actionTypes))...), func(a *actionTable) *string { return &a.kind }).needed().reload(),
	codeKey("rcode", "an RCODE such as \"NXDOMAIN\" or 3", rcodeCodes, 15, func(a *actionTable) *uint16 { return &a.RCode }),
	codeKey("ede", "an extended error such as \"Blocked\" or 15", edeCodes, wire.EDECodeMax, func(a *actionTable) *uint16 { return &a.Extended }),
	key[actionTable]{
		name: "records", bounds: "1 to 64 of a type and its data, such as \"A 192.0.2.1\"", get: func(a *actionTable) any { return &a.records },
		read: func(c *checker, a *actionTable, v value) {
			if items, ok := c.oneOrMany(v, recordsMax); ok {
				if a.records = items; len(items) == 0 {
					c.fault(v, "is empty: there would be no answer")
				}
			}
		},
	}.reload(),
	secondsKey("record_ttl", "5m", func(a *actionTable) *uint32 { return &a.ttl }),
	choiceKey("other_types", "nodata", []choice[bool]{{"nodata", false}, {"continue", true}}, func(a *actionTable) *bool { return &a.continueOther }).reload(),
	nameKey("zone", func(a *actionTable) *[]byte { return &a.zone }),
	nameKey("mname", func(a *actionTable) *[]byte { return &a.mname }),
	nameKey("rname", func(a *actionTable) *[]byte { return &a.rname }),
	key[actionTable]{
		name: "pool", bounds: "the name of a pool", get: func(a *actionTable) any { return &a.Pool },
		read: func(c *checker, a *actionTable, v value) { a.Pool = c.poolNumber(v) },
	}.reload(),
	booleanKey("continue", false, func(a *actionTable) *bool { return &a.Continue }).reload(),
	durationKey("wait", time.Millisecond, policy.DelayMax, time.Millisecond, "100ms", func(a *actionTable) *time.Duration { return &a.Wait }).reload(),
	secondsKey("min_ttl", "0s", func(a *actionTable) *uint32 { return &a.Low }),
	secondsKey("max_ttl", "168h", func(a *actionTable) *uint32 { return &a.High }),
	tagsKey("set", func(a *actionTable) *uint64 { return &a.Set }),
	tagsKey("unset", func(a *actionTable) *uint64 { return &a.Unset }),
	rateKey("per_second", "0.001 to 16777216", "10"),
	rateKey("burst", "1 to 16777216", ""),
	choiceKey("per", "source", []choice[bool]{{"source", true}, {"all", false}}, func(a *actionTable) *bool { return &a.PerSource }).reload(),
	choiceKey("then", "drop", []choice[policy.Do]{{"drop", policy.Drop}, {"refuse", policy.Answer}, {"truncate", policy.Truncate}},
		func(a *actionTable) *policy.Do { return &a.Over }).reload(),
	rateKey("ipv4_prefix", "1 to 32", "32"),
	rateKey("ipv6_prefix", "1 to 128", "64"),
	rateKey("sources", "1 to 1048576", "16384"),
}, ednsActionKeys)

func codeKey(name, bounds string, names map[string]uint16, most int64, at func(*actionTable) *uint16) key[actionTable] {
	return key[actionTable]{
		name: name, bounds: bounds, get: func(a *actionTable) any { return at(a) },
		read: func(c *checker, a *actionTable, v value) {
			if text, isText := v.data.(string); isText {
				v.data = strings.ReplaceAll(text, " ", "-")
			}
			*at(a), _ = c.code(v, names, "", most)
		},
	}.reload()
}

// secondsKey is a TTL.
func secondsKey(name, standard string, at func(*actionTable) *uint32) key[actionTable] {
	return key[actionTable]{
		name: name, standard: `"` + standard + `"`, bounds: "0s to " + durationText(secondsMax), get: func(a *actionTable) any { return at(a) },
		read: func(c *checker, a *actionTable, v value) {
			if d, ok := c.duration(v, 0, secondsMax, time.Second); ok {
				*at(a) = uint32(d / time.Second)
			}
		},
	}.reload()
}

func nameKey(name string, at func(*actionTable) *[]byte) key[actionTable] {
	return key[actionTable]{
		name: name, bounds: "a name", get: func(a *actionTable) any { return at(a) },
		read: func(c *checker, a *actionTable, v value) {
			if text, ok := c.name(v); ok {
				*at(a) = packName(text)
			}
		},
	}.reload()
}

func tagsKey(name string, at func(*actionTable) *uint64) key[actionTable] {
	return key[actionTable]{
		name: name, standard: "[]", bounds: "0 to 64 tags", get: func(a *actionTable) any { return at(a) },
		read: func(c *checker, a *actionTable, v value) { *at(a) = c.tagBits(v) },
	}.reload()
}

// rateKey is a part of a token bucket; rateOf reads all of them together.
func rateKey(name, bounds, standard string) key[actionTable] {
	return key[actionTable]{
		name: name, bounds: bounds, standard: standard, get: func(a *actionTable) any { return &a.Rate },
		read: func(*checker, *actionTable, value) {},
	}.reload()
}

// action reads a table with a type.
func (c *checker) action(v value) policy.Action {
	data, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, "must be a table with a type, not %s", v.kind())
		return policy.Action{}
	}
	a := actionTable{Action: policy.Action{Extended: wire.EDENone}}
	before := len(c.problems)
	fill(c, actionKeys, &a, v, data)
	keys, known := actionTypes[a.kind]
	switch {
	case c.problems[before:].Broken():
		return a.Action
	case !known:
		c.fault(v, "has no type")
		return a.Action
	}
	optional := max(slices.Index(keys, ""), 0)
	if !slices.Contains(keys, "") {
		optional = len(keys)
	}
	for _, name := range keys[:optional] {
		if data[name] == nil {
			c.fault(v, "of type %q has no %s", a.kind, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if name != "type" && !slices.Contains(keys, name) {
			c.fault(v.field(name, data[name]), "has no effect with type %q", a.kind)
		}
	}
	if c.problems[before:].Broken() {
		return a.Action
	}
	return c.made(&a, v, data)
}

// made is the action that a table makes, with the fields that mean something to it.
func (c *checker) made(a *actionTable, v value, data map[string]any) policy.Action {
	c.reason(a, v)
	out := policy.Action{Extended: a.Extended}
	switch a.kind {
	case "allow":
		out.Do = policy.Allow
	case "drop":
		out.Do = policy.Drop
	case "truncate":
		out.Do = policy.Truncate
	case "refuse":
		out.Do, out.RCode = policy.Answer, wire.RCodeRefused
	case "rcode":
		out.Do, out.RCode = policy.Answer, a.RCode
	case "answer":
		out.Do, out.Records = policy.Answer, c.records(a)
	case "negative":
		out.Do, out.RCode, out.Records = policy.Answer, a.RCode, a.negative()
		if a.RCode != wire.RCodeNoError && a.RCode != wire.RCodeNXDomain {
			c.fault(v.field("rcode", data["rcode"]), `is neither "NXDOMAIN" nor "NOERROR"`)
		}
	case "pool":
		out.Do, out.Pool, out.Continue = policy.Route, a.Pool, a.Continue
	case "delay":
		out.Do, out.Wait = policy.Delay, a.Wait
	case "skip_cache":
		out.Do = policy.SkipCache
	case "ede":
		if out.Do = policy.Extend; a.Extended == wire.EDENone {
			c.fault(v, "of type %q has neither ede nor ede_text", a.kind)
		}
	case "ttl":
		if out.Do, out.Low, out.High = policy.LimitTTL, a.Low, a.High; a.Low > a.High {
			c.fault(v, "min_ttl is more than max_ttl")
		}
	case "tag":
		if out.Do, out.Set, out.Unset = policy.SetTags, a.Set, a.Unset; a.Set|a.Unset == 0 {
			c.fault(v, "neither sets nor unsets a tag")
		}
	case "no_recurse":
		out.Do = policy.NoRecurse
	case "no_validation":
		out.Do = policy.NoVerify
	case "log":
		if data["per_second"] == nil {
			data = maps.Clone(data)
			data["per_second"] = int64(linesStandard)
		}
		out.Do, out.Rate = policy.Log, c.rateOf(v, data)
	case "client_subnet", "set_option", "strip_option":
		c.ednsAction(a, v, data, &out)
	case "tee":
		out.Do, out.Pool = policy.Tee, a.Pool
	case "rate_limit":
		out.Do, out.RCode, out.Rate, out.PerSource, out.Over = policy.Limit, wire.RCodeRefused, c.rateOf(v, data), a.PerSource, a.Over
	}
	return out
}
