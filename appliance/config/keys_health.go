package config

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/health"
)

// healthKeys is every key of [health], and of the table health of one upstream.
var healthKeys = []key[Health]{
	choiceKey("mode", "lazy", []choice[health.Mode]{
		{"passive", health.Passive},
		{"lazy", health.Lazy},
		{"active", health.Active},
	}, func(h *Health) *health.Mode { return &h.Mode }).reload(),
	durationKey("interval", 100*time.Millisecond, time.Hour, 1, "10s",
		func(h *Health) *time.Duration { return &h.Interval }).reload(),
	durationKey("timeout", waitMin, waitMax, 1, "1s", func(h *Health) *time.Duration { return &h.Timeout }).reload(),
	integerKey("jitter_percent", 0, 50, 10, func(h *Health) *int { return &h.Jitter }).reload(),
	key[Health]{
		name: "name", standard: `"."`, bounds: `a name, "." or "*." and a zone`,
		read: readProbeName, get: func(h *Health) any { return &h.Name },
	}.reload(),
	key[Health]{
		name: "type", standard: `"NS"`, bounds: "a record type",
		read: readProbeType, get: func(h *Health) any { return &h.Type },
	}.reload(),
	key[Health]{
		name: "rcodes", standard: `["NOERROR", "NXDOMAIN"]`, bounds: "1 to 16 RCODEs",
		read: readProbeRCodes, get: func(h *Health) any { return &h.RCodes },
	}.reload(),
	integerKey("failures", 1, 1000, 3, func(h *Health) *int { return &h.Failures }).reload(),
	integerKey("successes", 1, 1000, 2, func(h *Health) *int { return &h.Successes }).reload(),
	durationKey("window", time.Second, time.Hour, 1, "10s", func(h *Health) *time.Duration { return &h.Window }).reload(),
	integerKey("samples", 1, 1_000_000, 20, func(h *Health) *int { return &h.Samples }).reload(),
	integerKey("failure_budget", 0, 100, 20, func(h *Health) *int { return &h.Budget }).reload(),
	durationKey("latency_max", 0, time.Minute, 1, "0s", func(h *Health) *time.Duration { return &h.SlowAfter }).reload(),
	integerKey("latency_budget", 1, 100, 50, func(h *Health) *int { return &h.SlowPercent }).reload(),
	durationKey("rest_min", 10*time.Millisecond, time.Hour, 1, "100ms",
		func(h *Health) *time.Duration { return &h.RestMin }).reload(),
	durationKey("rest_max", 10*time.Millisecond, time.Hour, 1, "1s",
		func(h *Health) *time.Duration { return &h.RestMax }).reload(),
	durationKey("slow_start", 0, time.Hour, 1, "10s", func(h *Health) *time.Duration { return &h.SlowStart }).reload(),
}

// randomLabelBytes is what the random label of a probe adds to its zone.
const randomLabelBytes = 17

func readProbeName(c *checker, h *Health, v value) {
	text, ok := c.text(v)
	if !ok {
		return
	}
	name := strings.TrimSuffix(strings.ToLower(text), ".")
	zone, random := strings.CutPrefix(name, "*.")
	switch {
	case text == ".":
	case !hostName(zone):
		c.fault(v, `%q is not a name to ask for, such as "probe.example", "*.probe.example" or "."`, text)
		return
	case random && len(zone)+randomLabelBytes > 253:
		c.fault(v, "%q is too long for a random label in front of it", text)
		return
	}
	h.Name = name
}

func readProbeType(c *checker, h *Health, v value) {
	text, ok := c.text(v)
	if !ok {
		return
	}
	n, known := dns.StringToType[strings.ToUpper(text)]
	switch {
	case !known || n == dns.TypeNone || n == math.MaxUint16:
		c.fault(v, "%q is not a record type", text)
	case n == dns.TypeOPT || n >= dns.TypeTKEY && n <= dns.TypeANY:
		c.fault(v, "%q is not a type of records that a probe can ask for", text)
	default:
		h.Type = n
	}
}

func readProbeRCodes(c *checker, h *Health, v value) {
	items, ok := c.oneOrMany(v, 16)
	if !ok {
		return
	}
	if len(items) == 0 {
		c.fault(v, "is empty: then no probe is ever good")
	}
	var out []int
	for _, item := range items {
		text, ok := c.text(item)
		if !ok {
			continue
		}
		n, known := dns.StringToRcode[strings.ToUpper(text)]
		switch {
		case !known:
			c.fault(item, `%q is not an RCODE such as "NOERROR" or "NXDOMAIN"`, text)
		case slices.Contains(out, n):
			c.fault(item, "%q is listed twice", text)
		default:
			out = append(out, n)
		}
	}
	h.RCodes = out
}

// readOwnHealth checks an upstream's own table; it is applied to a copy of [health] by healths, when that has been read.
func readOwnHealth(c *checker, u *Upstream, v value) {
	table, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, `must be a table, for example { mode = "active" }, not %s`, v.kind())
		return
	}
	if len(table) == 0 {
		return
	}
	var scratch Health
	c.ownHealth(&scratch, v, table)
	u.own = v
}

func (c *checker) ownHealth(h *Health, v value, table map[string]any) {
	for _, part := range slices.Sorted(maps.Keys(table)) {
		field := v.field(part, table[part])
		i := slices.IndexFunc(healthKeys, func(k key[Health]) bool { return k.name == part })
		if i < 0 {
			var known []string
			for _, k := range healthKeys {
				known = append(known, k.name)
			}
			c.unknownKey(field, part, known)
			continue
		}
		healthKeys[i].read(c, h, field)
	}
}

// healths gives each upstream its health: [health] with its own changes.
func (c *checker) healths(out *Checked) {
	if out.Health.RestMin > out.Health.RestMax {
		c.fault(c.anyOf("health.rest_min", "health.rest_max"), "rest_min (%s) is more than rest_max (%s)",
			durationText(out.Health.RestMin), durationText(out.Health.RestMax))
		return
	}
	for i := range out.Upstreams {
		u := &out.Upstreams[i]
		u.Health = out.Health
		if table, own := u.own.data.(map[string]any); own {
			c.ownHealth(&u.Health, u.own, table) // without a problem: it has been read before
		}
		if u.Health.RestMin > u.Health.RestMax {
			c.fault(u.own, "%s: rest_min (%s) is more than rest_max (%s)", u.URL, durationText(u.Health.RestMin), durationText(u.Health.RestMax))
		}
		u.own = value{}
		u.Health.Manual = u.State
	}
}
