package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/policy"
)

// selector is one key of a match.
type selector struct {
	name, bounds string
	kind         policy.Kind
	read         func(c *checker, v value, s *policy.Selector)
}

// selectors is every key of a match but all, any and not.
var selectors = []selector{
	{"qname", "1 to 4096 names", policy.QName, readNames},
	{"suffix", "1 to 4096 names", policy.Suffix, readNames},
	{"regex", "a regular expression (RE2)", policy.Regex, func(c *checker, v value, s *policy.Selector) {
		if text, ok := c.text(v); ok {
			var err error
			if s.Pattern, err = regexp.Compile(text); err != nil {
				c.fault(v, "%v", err)
			}
		}
	}},
	spanSelector("labels", policy.Labels, 127),
	spanSelector("name_bytes", policy.NameBytes, 255),
	codeSelector("qtype", "types such as \"AAAA\" or 28", policy.QType, dns.StringToType, "TYPE", 65535),
	codeSelector("qclass", "classes such as \"CH\" or 3", policy.QClass, classCodes, "CLASS", 65535),
	codeSelector("opcode", "opcodes such as \"NOTIFY\" or 4", policy.Opcode, opcodeCodes, "", 15),
	flagSelector("rd", policy.RD), flagSelector("do", policy.DO), flagSelector("cd", policy.CD), flagSelector("edns", policy.EDNS),
	spanSelector("edns_version", policy.EDNSVersion, 255),
	codeSelector("edns_option", "options such as \"ECS\" or 8", policy.EDNSOption, optionCodes, "", 65535),
	{"source", "1 to 4096 of IP or IP/length", policy.Source, readSelectorPrefixes},
	spanSelector("source_port", policy.SourcePort, 65535),
	{"destination", "1 to 4096 of IP or IP/length", policy.Destination, readSelectorPrefixes},
	spanSelector("destination_port", policy.DestinationPort, 65535),
	{"protocol", `"udp" or "tcp"`, policy.TCP, func(c *checker, v value, s *policy.Selector) {
		switch text, ok := c.text(v); {
		case !ok:
		case text != "udp" && text != "tcp":
			c.fault(v, `%q is not one of "udp" or "tcp"`, text)
		default:
			s.Want = text == "tcp"
		}
	}},
	spanSelector("size", policy.Size, 65535),
	spanSelector("answers", policy.Answers, 65535), spanSelector("authorities", policy.Authorities, 65535), spanSelector("additionals", policy.Additionals, 65535),
	codeSelector("rcode", "RCODEs such as \"NXDOMAIN\" or 3", policy.RCode, rcodeCodes, "", 4095),
	{"probability", "0 to 1", policy.Chance, func(c *checker, v value, s *policy.Selector) { s.Share = c.number(v, 0, 1) }},
	{"over_rate", "a table with per_second and burst", policy.OverRate, func(c *checker, v value, s *policy.Selector) { s.Rate = c.rate(v, false) }},
	{"over_source_rate", "a table with per_second, burst, ipv4_prefix, ipv6_prefix and sources", policy.OverSourceRate, func(c *checker, v value, s *policy.Selector) {
		s.Rate = c.rate(v, true)
	}},
	{"pool_available", "the name of a pool", policy.PoolAvailable, func(c *checker, v value, s *policy.Selector) { s.Pool, s.Want = c.poolNumber(v), true }},
	{"pool_outstanding", "a table with pool and exchanges", policy.PoolOutstanding, func(c *checker, v value, s *policy.Selector) {
		data := c.members(v, "pool", "exchanges")
		s.Pool = c.poolNumber(v.field("pool", data["pool"]))
		s.Low, s.High = c.span(v.field("exchanges", data["exchanges"]), outstandingMax)
	}},
	{"tag", "1 to 64 tags", policy.Tagged, func(c *checker, v value, s *policy.Selector) { s.Tags = c.tagBits(v) }},
	{"time", "a table with days, from, to and zone", policy.Clock, func(c *checker, v value, s *policy.Selector) { s.Schedule = c.schedule(v) }},
}

// joiners are the keys of a match that stand for matches.
var joiners = []selector{{name: "set", bounds: "1 to 256 names of sets"}, {name: "all", bounds: "1 to 64 matches"}, {name: "any", bounds: "1 to 64 matches"}, {name: "not", bounds: "a match"}}

func spanSelector(name string, kind policy.Kind, most int64) selector {
	return selector{name, fmt.Sprintf(`0 to %d, or a range such as "3-5"`, most), kind, func(c *checker, v value, s *policy.Selector) {
		s.Low, s.High = c.span(v, most)
	}}
}

func codeSelector(name, bounds string, kind policy.Kind, names map[string]uint16, other string, most int64) selector {
	return selector{name, "1 to 256 " + bounds, kind, func(c *checker, v value, s *policy.Selector) { s.Numbers = c.codes(v, names, other, most) }}
}

func flagSelector(name string, kind policy.Kind) selector {
	return selector{name, "true or false", kind, func(c *checker, v value, s *policy.Selector) { s.Want, _ = c.boolean(v) }}
}

func readNames(c *checker, v value, s *policy.Selector) { s.Names = c.wireNames(v) }

func readSelectorPrefixes(c *checker, v value, s *policy.Selector) {
	k := prefixesKey("", "", func(p *[]netip.Prefix) *[]netip.Prefix { return p })
	before := len(c.problems)
	if k.read(c, &s.Prefixes, v); len(s.Prefixes) == 0 && len(c.problems) == before {
		c.fault(v, "is empty: nothing would match")
	}
}

// match reads a table of selectors, all of which must hold.
func (c *checker) match(v value, depth int) policy.Match {
	data, ok := v.data.(map[string]any)
	switch {
	case !ok:
		c.fault(v, "must be a table of selectors, not %s", v.kind())
		return policy.Everything()
	case depth > policy.DepthMax/2:
		c.fault(v, "is nested too deep")
		return policy.Everything()
	}
	out := policy.Everything()
	for _, name := range slices.Sorted(maps.Keys(data)) {
		item := v.field(name, data[name])
		switch name {
		case "all", "any":
			out.Of = append(out.Of, c.matches(item, map[string]policy.Op{"all": policy.All, "any": policy.Any}[name], depth))
		case "set":
			out.Of = append(out.Of, c.setMatch(item))
		case "not":
			out.Of = append(out.Of, policy.Match{Op: policy.Not, Of: []policy.Match{c.match(item, depth+1)}})
		default:
			i := slices.IndexFunc(selectors, func(s selector) bool { return s.name == name })
			if i < 0 {
				c.unknownKey(item, name, selectorNames())
				continue
			}
			m := policy.Match{Selector: policy.Selector{Kind: selectors[i].kind}}
			selectors[i].read(c, item, &m.Selector)
			out.Of = append(out.Of, m)
		}
	}
	if len(out.Of) == 1 {
		return out.Of[0]
	}
	return out
}

// matches reads the list of all or any.
func (c *checker) matches(v value, op policy.Op, depth int) policy.Match {
	out := policy.Match{Op: op}
	items, ok := v.list()
	if !ok || len(items) == 0 || len(items) > matchesMax {
		c.fault(v, "must be an array of 1 to %d matches", matchesMax)
		return policy.Everything()
	}
	for _, item := range items {
		out.Of = append(out.Of, c.match(item, depth+1))
	}
	return out
}

func selectorNames() (names []string) {
	for _, s := range slices.Concat(selectors, joiners) {
		names = append(names, s.name)
	}
	return names
}

// members returns a table that may have only certain keys, and must have the first ones, up to an empty name.
func (c *checker) members(v value, known ...string) map[string]any {
	data, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, "must be a table, not %s", v.kind())
		return nil
	}
	optional := slices.Index(known, "")
	if optional < 0 {
		optional = len(known)
	}
	for _, name := range known[:optional] {
		if data[name] == nil {
			c.fault(v, "has no %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if name == "" || !slices.Contains(known, name) {
			c.unknownKey(v.field(name, data[name]), name, known)
		}
	}
	return data
}

// rate reads a token bucket: of all clients, or of each prefix of clients.
func (c *checker) rate(v value, bySource bool) policy.Rate {
	known := []string{"per_second", "", "burst"}
	if bySource {
		known = append(known, "ipv4_prefix", "ipv6_prefix", "sources")
	}
	return c.rateOf(v, c.members(v, known...))
}

// rateOf reads the same from a table that may have other keys too.
func (c *checker) rateOf(v value, data map[string]any) policy.Rate {
	r := policy.Rate{Bits4: 32, Bits6: 64, Sources: sourcesStandard}
	if data["per_second"] != nil {
		r.PerSecond = c.number(v.field("per_second", data["per_second"]), 0.001, policy.RateMax)
	}
	r.Burst = max(1, r.PerSecond)
	if data["burst"] != nil {
		r.Burst = c.number(v.field("burst", data["burst"]), 1, policy.RateMax)
	}
	for _, part := range []struct {
		name string
		most int64
		at   *int
	}{{"ipv4_prefix", 32, &r.Bits4}, {"ipv6_prefix", 128, &r.Bits6}, {"sources", policy.SourcesMax, &r.Sources}} {
		if data[part.name] == nil {
			continue
		}
		if n, ok := c.integer(v.field(part.name, data[part.name]), 1, part.most); ok {
			*part.at = int(n)
		}
	}
	r.Sources = powerOfTwo(r.Sources)
	return r
}

// powerOfTwo is the least one that is not below n, and at least 4.
func powerOfTwo(n int) int {
	p := 4
	for p < n {
		p *= 2
	}
	return p
}

// dayNames in the order of time.Weekday.
var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// schedule reads a time of the week.
func (c *checker) schedule(v value) policy.Schedule {
	data := c.members(v, "", "days", "from", "to", "zone")
	s := policy.Schedule{Days: 1<<7 - 1, To: 1440, Zone: time.Local}
	if data["days"] != nil {
		s.Days = 0
		days := v.field("days", data["days"])
		items, _ := c.oneOrMany(days, 7)
		for _, item := range items {
			text, _ := c.text(item)
			day := slices.Index(dayNames, text)
			if day < 0 {
				c.fault(item, "%q is not one of %s", text, strings.Join(dayNames, ", "))
				continue
			}
			s.Days |= 1 << day
		}
		if len(items) == 0 {
			c.fault(days, "is empty: nothing would match")
		}
	}
	if data["from"] != nil {
		s.From = c.minute(v.field("from", data["from"]), 1439)
	}
	if data["to"] != nil {
		s.To = c.minute(v.field("to", data["to"]), 1440)
	}
	if data["zone"] != nil {
		zone := v.field("zone", data["zone"])
		if text, ok := c.text(zone); ok {
			var err error
			if s.Zone, err = time.LoadLocation(text); err != nil {
				c.fault(zone, "%q is no time zone that this machine knows", text)
			}
		}
	}
	return s
}

// minute reads "08:30" as minutes of the day.
func (c *checker) minute(v value, most int) int {
	text, ok := c.text(v)
	if !ok {
		return 0
	}
	var h, m int
	if n, err := fmt.Sscanf(text, "%d:%d", &h, &m); n != 2 || err != nil || len(text) != 5 || h < 0 || m < 0 || m > 59 || h*60+m > most {
		c.fault(v, `%q is no time of day such as "08:30"`, text)
		return 0
	}
	return h*60 + m
}
