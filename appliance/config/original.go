package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The steps of a migration, in the order of the original's example file; upstreams have a file of their own.

func (m *migration) listen() {
	bind, port := m.values["bind_address"], m.values["port"]
	n, ok := m.integer(port, 0, 65535)
	if !ok {
		return
	}
	addr := netip.IPv6Unspecified() // takes IPv4 as well, which is what the original did with an empty address
	if m.textOf("bind_address") != "" {
		if addr, ok = m.addr(bind); !ok {
			return
		}
	}
	from := bind
	if !bind.written() {
		from = port
	}
	m.set("listen", []any{netip.AddrPortFrom(addr, uint16(n)).String()}, from)
	m.place("listen[0]", from)
}

// choice is how one of the upstreams is chosen.
func (m *migration) choice() {
	policy := m.values["upstream_policy"]
	if !slices.Contains([]string{"round_robin", "sequential", "race"}, m.textOf("upstream_policy")) {
		m.fault(policy, `%q is not one of "round_robin", "sequential" or "race" (the original took it for "round_robin")`, policy.data)
		return
	}
	m.keep("upstream_policy")
	if m.textOf("upstream_policy") == "sequential" && count(m.all, "udp") > 0 && count(m.all, "udp") < int64(len(m.all)) {
		m.differ(policy, "upstream_policy", `"sequential" asks the plain upstreams.dns first, as in the original, where the order was dns, doh, dot, doq; put them last in the new form`)
	}
	if fanout := m.values["upstream_race_fanout"]; m.textOf("upstream_policy") == "race" {
		m.set("upstream_race_fanout", m.fanout(), fanout)
	} else if fanout.written() {
		m.warn(fanout, `has no effect unless upstream_policy = "race", as in the original`)
	}
}

// fanout is how many upstreams a race asks at once; the original took anything that is not one of their numbers for all.
func (m *migration) fanout() int64 {
	n, all := m.integerOf("upstream_race_fanout"), int64(len(m.all))
	if n < 1 || n > all {
		n = all
	}
	if n > fanoutMax {
		m.warn(m.values["upstream_race_fanout"], "stands for %d upstreams at once, and %d are possible", n, fanoutMax)
	}
	return min(n, fanoutMax)
}

// names says where upstreams are whose URL has a name.
func (m *migration) names() {
	m.keep("hosts")
	m.keep("bootstrap.servers")
	m.firstLookup()
	m.setDuration("bootstrap.timeout", m.durationOf("timeouts.read"), m.values["timeouts.read"])
}

// firstLookup warns if the original had asked an upstream that [hosts] knows for the names of the others, and no bootstrap server.
func (m *migration) firstLookup() {
	hosts, _ := m.values["hosts"].data.(map[string]any)
	known := map[string]bool{}
	for name := range hosts {
		known[strings.TrimSuffix(strings.ToLower(name), ".")] = true
	}
	inside, outside := "", ""
	for _, u := range m.all {
		switch {
		case !u.Name():
		case known[u.Host]:
			inside = u.Host
		default:
			outside = u.Host
		}
	}
	if servers := m.values["bootstrap.servers"]; inside != "" && outside != "" {
		m.differ(servers, "bootstrap.servers", "are asked first where %q is; the original asked the upstream %q, which [hosts] knows: put all names there if nothing may be asked in plain", outside, inside)
	}
}

// refresh is when names are looked up again, and where.
func (m *migration) refresh() {
	for _, k := range []struct{ from, to string }{
		{"upstream_refresh.refresh_threshold", "bootstrap.refresh_threshold"},
		{"upstream_refresh.min_ttl", "bootstrap.min_ttl"},
		{"upstream_refresh.failure_retry", "bootstrap.failure_retry"},
	} {
		m.setDuration(k.to, m.positive(k.from, 30*time.Second), m.values[k.from])
	}
	enabled := m.values["upstream_refresh.enabled"]
	m.set("bootstrap.through_upstreams", m.booleanOf(enabled.path), enabled)
	if !m.booleanOf(enabled.path) {
		m.differ(enabled, "bootstrap.through_upstreams", "stands for asking bootstrap.servers only; names are looked up again all the same, for an upstream that moves would be lost")
	}
	jitter := m.values["upstream_refresh.jitter_percent"]
	percent := m.integerOf(jitter.path)
	if percent <= 0 {
		m.warn(jitter, "stands for 20, as it did in the original")
		percent = 20
	}
	m.set("bootstrap.jitter_percent", percent, jitter)
	if jitter.written() {
		m.differ(jitter, "bootstrap.jitter_percent", "is a share of the time to the next look-up now, not of one second")
	}
}

func (m *migration) cache() {
	m.keep("cache.enabled")
	if !m.booleanOf("cache.enabled") {
		return
	}
	capacity := m.values["cache.capacity"]
	bytes := max(cacheBytesStandard, cacheShareMin*int64(m.machine.workers()), m.integerOf("cache.capacity")*originalEntryBytes)
	m.set("cache.bytes", sizeText(bytes), capacity)
	m.differ(capacity, "cache.bytes", "is kept as memory now, not as a number of entries: %s hold more than these", sizeText(bytes))
	m.ttls()
}

// ttls is how long answers are kept.
func (m *migration) ttls() {
	fixed := m.values["cache.default_ttl"]
	switch respect := m.booleanOf("cache.respect_record_ttl"); {
	case respect && fixed.written():
		m.warn(fixed, "has no effect while cache.respect_record_ttl is true, as in the original")
	case !respect:
		d := m.durationOf("cache.default_ttl").Truncate(time.Second)
		m.setDuration("cache.min_ttl", d, fixed)
		m.setDuration("cache.max_ttl", d, fixed)
		m.setDuration("cache.min_negative_ttl", d, fixed)
		m.differ(m.values["cache.respect_record_ttl"], "cache.min_ttl", "all TTLs are brought to cache.default_ttl (%s), those of negative answers and those that clients see too; a TTL of 0 stays 0", durationText(d))
	}
	m.differ(m.values["cache.negative_ttl"], "cache.max_negative_ttl", "was for negative answers without SOA, which are no longer kept (RFC 2308 §5); those with SOA are kept as it says")
}

func (m *migration) timeouts() {
	whole := m.values["timeouts.upstream"]
	d := m.durationOf("timeouts.upstream")
	m.setDuration("timeouts.query", d, whole)
	attempt := min(d, attemptStandard)
	m.setDuration("timeouts.upstream", attempt, whole)
	m.differ(whole, "timeouts.upstream", "is for all of a query, as it was there; one upstream now has %s of it, then another is asked", durationText(attempt))
	m.setDuration("timeouts.dial", m.durationOf("timeouts.dial"), m.values["timeouts.dial"])
}

// limits is how many queries may be with upstreams at a time. We count what is asked of upstreams, so a race counts several times.
func (m *migration) limits() {
	v := m.values["rate_limit.max_in_flight"]
	n := m.integerOf("rate_limit.max_in_flight")
	if n <= 0 {
		m.warn(v, "stands for no limit but what workers.in_flight is anyway: %d queries for each worker", inFlightStandard)
		return
	}
	at := "pool.default.max_outstanding"
	if m.textOf("upstream_policy") != "race" {
		m.set(at, n, v)
		m.differ(v, at, "is a number beyond which a query gets SERVFAIL at once; the original let it wait without limit")
	} else {
		fanout, _ := m.out.tree["upstream_race_fanout"].(int64)
		m.set(at, n*max(fanout, 1), v)
		m.differ(v, at, "is taken times %d, for a race asks so many upstreams; beyond it a query gets SERVFAIL at once, and the original let it wait without limit", fanout)
	}
	if each := m.share(n); each > inFlightStandard {
		m.set("workers.in_flight", each, v)
		m.set("workers.waiters", max(each, waitersStandard), v)
	}
}

// checks is how upstreams are probed.
func (m *migration) checks() {
	enabled, interval, query := m.values["health_checks.enabled"], m.values["health_checks.interval"], m.values["health_checks.query"]
	if !m.booleanOf(enabled.path) {
		m.set("health.mode", "passive", enabled)
		for _, v := range []value{interval, query} {
			if v.written() {
				m.warn(v, "has no effect while health_checks.enabled is false, as in the original")
			}
		}
		return
	}
	m.set("health.mode", "active", enabled)
	m.setDuration("health.interval", m.positive(interval.path, 2*time.Minute), interval)
	m.differ(interval, "health.interval", "is for upstreams that look well; failures of live queries count as well now, and one that looks wrong is probed within health.rest_max (the original hardly ever took one out)")
	name := m.textOf(query.path)
	if name == "" {
		m.warn(query, `stands for ".", as it did in the original`)
		name = "."
	}
	m.set("health.name", name, query)
	m.set("health.type", "A", query)
}

// operation is the rest: what is seen of the program from outside.
func (m *migration) operation() {
	m.keep("prewarm_pools")
	m.keep("logging.level")
	metrics := m.values["metrics.enabled"]
	if !m.booleanOf("metrics.enabled") {
		m.set("metrics.listen", "", metrics)
		return
	}
	m.set("metrics.listen", "127.0.0.1:9153", metrics)
	m.differ(metrics, "metrics.listen", "makes the figures available now: http://127.0.0.1:9153/metrics")
}
