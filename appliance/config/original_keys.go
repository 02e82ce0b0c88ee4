package config

import (
	"slices"
	"strings"
)

// originalKey is one key of the original secure-dns-proxy's form.
type originalKey struct {
	name     string
	standard string // what the original took when the key was not written, as TOML; empty: nothing
	kind     originalKind
	now      string // what is written instead, for messages
}

// originalKind is what a value must be, as messages say it.
type originalKind string

const (
	aString   originalKind = "a string"
	anInteger originalKind = "an integer"
	aBoolean  originalKind = "true or false"
	aDuration originalKind = `a duration such as "5s", or whole nanoseconds`
	aList     originalKind = "an array of strings"
	aTable    originalKind = "a table"
	anything  originalKind = "" // the key of the same name reads it, and knows what to say
)

// originalKeys is every key that the original had, in the order of its example file. Several have a namesake in keys.
var originalKeys = []originalKey{
	{"bind_address", `"127.0.0.35"`, aString, "listen"},
	{"port", "53", anInteger, "listen"},
	{"insecure_tls", "false", aBoolean, "insecure_tls in each [[upstream]]"},
	{"upstream_policy", `"round_robin"`, aString, "upstream_policy"},
	{"upstream_race_fanout", "2", anInteger, "upstream_race_fanout"},
	{"prewarm_pools", "true", aBoolean, "prewarm_pools"},
	{"bootstrap.servers", `["1.1.1.1", "1.0.0.1"]`, anything, "bootstrap.servers"},
	{"upstreams.dns", "[]", aList, `upstream = ["udp://..."]`},
	{"upstreams.doh", "[]", aList, `upstream = ["https://..."]`},
	{"upstreams.dot", "[]", aList, `upstream = ["tls://..."]`},
	{"upstreams.doq", "[]", aList, `upstream = ["quic://..."]`},
	{"hosts", "", aTable, "hosts"},
	{"upstream_refresh.enabled", "true", aBoolean, "bootstrap.through_upstreams"},
	{"upstream_refresh.refresh_threshold", `"30s"`, aDuration, "bootstrap.refresh_threshold"},
	{"upstream_refresh.min_ttl", `"30s"`, aDuration, "bootstrap.min_ttl"},
	{"upstream_refresh.failure_retry", `"30s"`, aDuration, "bootstrap.failure_retry"},
	{"upstream_refresh.jitter_percent", "20", anInteger, "bootstrap.jitter_percent"},
	{"cache.enabled", "true", aBoolean, "cache.enabled"},
	{"cache.capacity", "2048", anInteger, "cache.bytes"},
	{"cache.default_ttl", `"15s"`, aDuration, "cache.min_ttl and cache.max_ttl"},
	{"cache.negative_ttl", `"10s"`, aDuration, "nothing: such answers are not kept"},
	{"cache.respect_record_ttl", "true", aBoolean, "cache.min_ttl and cache.max_ttl"},
	{"pools.tls.size", "16", anInteger, "connections in each [[upstream]]"},
	{"pools.tls.idle_timeout", `"90s"`, aDuration, "idle_timeout in each [[upstream]]"},
	{"pools.quic.size", "8", anInteger, "connections in each [[upstream]]"},
	{"pools.quic.idle_timeout", `"90s"`, aDuration, "idle_timeout in each [[upstream]]"},
	{"pools.http_transport.max_idle_conns", "128", anInteger, "connections in each [[upstream]]"},
	{"pools.http_transport.max_idle_conns_per_host", "32", anInteger, "connections in each [[upstream]]"},
	{"pools.http_transport.idle_conn_timeout", `"90s"`, aDuration, "idle_timeout in each [[upstream]]"},
	{"pools.http_transport.tls_handshake_timeout", `"5s"`, aDuration, "dial_timeout in each [[upstream]]"},
	{"timeouts.upstream", `"5s"`, aDuration, "timeouts.query"},
	{"timeouts.dial", `"2s"`, aDuration, "timeouts.dial"},
	{"timeouts.read", `"3s"`, aDuration, "bootstrap.timeout"},
	{"rate_limit.max_in_flight", "1024", anInteger, "pool.default.max_outstanding"},
	{"logging.level", `"info"`, aString, "logging.level"},
	{"metrics.enabled", "true", aBoolean, "metrics.listen"},
	{"health_checks.enabled", "true", aBoolean, "health.mode"},
	{"health_checks.interval", `"120s"`, aDuration, "health.interval"},
	{"health_checks.query", `"."`, aString, "health.name"},
}

func originalKeyOf(path string) (originalKey, bool) {
	i := slices.IndexFunc(originalKeys, func(k originalKey) bool { return k.name == path })
	if i < 0 {
		return originalKey{}, false
	}
	return originalKeys[i], true
}

// originalNames lists every key of the original.
func originalNames() []string {
	var names []string
	for _, k := range originalKeys {
		names = append(names, k.name)
	}
	return names
}

func originalTables() []string {
	names := []string{"hosts"}
	for _, k := range originalKeys {
		if i := strings.LastIndexByte(k.name, '.'); i > 0 {
			names = append(names, k.name[:i])
		}
	}
	return names
}
