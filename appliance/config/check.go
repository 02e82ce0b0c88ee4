package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/appliance/pace"
)

// Check gives a File its meaning. It reads certificates, keys and the user database, and opens nothing else. The result is nil when a
// problem is an error. A file in the form of the original secure-dns-proxy is first translated (migration.go).
func Check(f *File) (*Checked, Problems) { return checkOn(f, thisMachine()) }

func checkOn(f *File, m machine) (*Checked, Problems) { return (&checker{file: f, machine: m}).check() }

func (c *checker) check() (*Checked, Problems) {
	f, moved := c.file.modern(c.machine)
	if moved.Broken() {
		return nil, moved.written()
	}
	c.file, c.problems = f, moved
	out := &Checked{File: f.Name, lines: f.lines, origins: f.origins}
	for _, k := range keys {
		k.preset(c, out)
	}
	c.table(out, "", f.tree)
	c.relations(out)
	if c.problems.Broken() {
		return nil, c.problems.written().sorted()
	}
	return out, c.problems.sorted()
}

// checker is one pass over one File.
type checker struct {
	file     *File
	machine  machine
	gently   *pace.Pace // for large files; nil: as fast as it goes
	inUse    []Set      // with the state of their files
	problems Problems

	// For rules.
	ruleTables  []value
	poolNumbers map[string]int
	poolsUsed   map[string]bool
	tags        map[string]int
	sets        []Set
	viewTables  value
	viewNumbers map[string]int
}

func (c *checker) fault(v value, format string, args ...any) { c.report(v, false, format, args...) }

func (c *checker) warn(v value, format string, args ...any) { c.report(v, true, format, args...) }

func (c *checker) report(v value, warning bool, format string, args ...any) {
	c.problems = append(c.problems, Problem{
		File: c.file.Name, Line: v.line, Key: spelled(c.file.origins, v.path), Text: fmt.Sprintf(format, args...), Warning: warning,
	})
}

// spelled is the key as the file has it, where that was in the original's form.
func spelled(origins map[string]string, path string) string {
	if origin, renamed := origins[path]; renamed {
		return origin
	}
	return path
}

// table reads one TOML table of the file; name is its path, empty for the whole file.
func (c *checker) table(out *Checked, name string, data map[string]any) {
	for _, part := range slices.Sorted(maps.Keys(data)) {
		path := joinKey(name, part)
		v := c.file.value(path, data[part])
		if i := slices.IndexFunc(keys, func(k key[Checked]) bool { return k.name == path }); i >= 0 {
			keys[i].read(c, out, v)
			continue
		}
		if !isTable(path) {
			c.unknown(v)
			continue
		}
		sub, ok := v.data.(map[string]any)
		if !ok {
			c.fault(v, "must be a table, written [%s], not %s", path, v.kind())
			continue
		}
		c.table(out, path, sub)
	}
}

// unknown names what was probably meant: a table for a table, else a key.
func (c *checker) unknown(v value) {
	if _, table := v.data.(map[string]any); !table {
		c.unknownKey(v, v.path, Names())
		return
	}
	tables := []string{"upstream", "hosts"}
	for _, k := range keys {
		if i := strings.LastIndexByte(k.name, '.'); i > 0 {
			tables = append(tables, k.name[:i])
		}
	}
	if known, close := near(v.path, tables); close {
		c.fault(v, "unknown table; the nearest known table is [%s]", known)
		return
	}
	c.fault(v, "unknown table; proxy.toml.example has every table there is")
}

// unknownKey names the key that name was probably meant to be, if there is one.
func (c *checker) unknownKey(v value, name string, known []string) {
	if meant, close := near(name, known); close {
		c.fault(v, "unknown key; the nearest known key is %q", meant)
		return
	}
	c.fault(v, "unknown key; proxy.toml.example has every key there is")
}

func isTable(path string) bool {
	return slices.ContainsFunc(keys, func(k key[Checked]) bool { return strings.HasPrefix(k.name, path+".") })
}

// Names lists every known key; those of one upstream are written "upstream[].url".
func Names() []string {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	for _, k := range upstreamKeys {
		names = append(names, "upstream[]."+k.name)
	}
	for _, k := range poolKeys {
		names = append(names, "pool.NAME."+k.name)
	}
	for _, k := range viewKeys {
		names = append(names, "view.NAME."+k.name)
	}
	for _, k := range setKeys {
		names = append(names, "set.NAME."+k.name)
	}
	for _, k := range ruleKeys {
		names = append(names, "rule[]."+k.name)
	}
	for _, name := range selectorNames() {
		names = append(names, "rule[].match."+name)
	}
	for _, k := range actionKeys {
		names = append(names, "rule[].action."+k.name)
	}
	for _, k := range listenerKeys {
		names = append(names, "acl.listener[]."+k.name)
	}
	for _, k := range policyZoneKeys {
		names = append(names, "rpz.zone[]."+k.name)
	}
	for _, k := range blockRuleKeys {
		names = append(names, "blocks.rule[]."+k.name)
	}
	return names
}

// written returns the place of a key for a message; a key that is not in the file has no line.
func (c *checker) written(path string) value { return c.file.value(path, nil) }

// relations checks what no single key can know, and fills in the defaults that depend on others.
func (c *checker) relations(out *Checked) {
	if out.Workers.Count == 0 {
		out.Workers.Count = c.machine.workers()
		if n := len(out.Workers.CPUs); n > 0 {
			out.Workers.Count = n
		}
	}
	if n := len(out.Workers.CPUs); n > 0 && n != out.Workers.Count {
		c.fault(c.written("workers.cpus"), "lists %d CPUs for %d workers: give one CPU to each, or leave workers.count out",
			n, out.Workers.Count)
	}
	if out.Workers.Steering == "cpu" && len(out.Workers.CPUs) == 0 {
		c.fault(c.written("workers.steering"), "\"cpu\" needs workers.cpus: a worker without a CPU of its own cannot be found by it")
	}
	if out.Workers.Waiters < out.Workers.InFlight {
		c.fault(c.anyOf("workers.waiters", "workers.in_flight"), "workers.waiters (%d) is less than workers.in_flight (%d): every query in flight has a client that waits",
			out.Workers.Waiters, out.Workers.InFlight)
	}
	c.ttls(out)
	if share := out.Cache.Bytes / int64(out.Workers.Count); out.Cache.Enabled && (share < cacheShareMin || share > cacheShareMax) {
		c.fault(c.written("cache.bytes"), "%s for %d workers: each takes %s to %s",
			sizeText(out.Cache.Bytes), out.Workers.Count, sizeText(cacheShareMin), sizeText(cacheShareMax))
	}
	if share := out.TCP.MaxConnections / out.Workers.Count; share > connsShareMax {
		c.fault(c.written("tcp.max_connections"), "%d for %d workers: each takes at most %d",
			out.TCP.MaxConnections, out.Workers.Count, connsShareMax)
	}
	if out.Timeouts.Upstream > out.Timeouts.Query {
		c.fault(c.anyOf("timeouts.upstream", "timeouts.query"), "one attempt (timeouts.upstream, %s) may not be longer than the whole query (timeouts.query, %s)",
			durationText(out.Timeouts.Upstream), durationText(out.Timeouts.Query))
	}
	if out.TCP.MaxConnectionsPerClient > out.TCP.MaxConnections {
		c.fault(c.anyOf("tcp.max_connections_per_client", "tcp.max_connections"), "max_connections_per_client (%d) is more than max_connections (%d)",
			out.TCP.MaxConnectionsPerClient, out.TCP.MaxConnections)
	}
	c.remote(out)
	c.inspection(out)
	c.quic(out)
	c.handshakes(out)
	c.locate(out)
	c.sockets(out)
	if file := out.Blocks.File; file != "" && file == out.Cache.Persist {
		c.fault(c.written("blocks.persist"), "%q is cache.persist already: each needs a file of its own", file)
	}
	c.access(out)
	c.blockRules(out)
	c.policyZones(out)
	c.healths(out)
	c.pools(out)
	c.cookies(out)
	c.limits(out)
	c.rules(out)
	c.courses(out)
	c.inspectTags(out)
	c.idlePools(out)
	c.cacheSizes(out)
}

// ttls checks that the bounds of TTLs leave something between them.
func (c *checker) ttls(out *Checked) {
	for _, pair := range []struct {
		low, high string
		min, max  time.Duration
	}{
		{"cache.min_ttl", "cache.max_ttl", out.Cache.MinTTL, out.Cache.MaxTTL},
		{"cache.min_negative_ttl", "cache.max_negative_ttl", out.Cache.MinNegativeTTL, out.Cache.MaxNegativeTTL},
		{"cache.min_negative_ttl", "cache.max_ttl", out.Cache.MinNegativeTTL, out.Cache.MaxTTL},
		{"cache.failure_ttl", "cache.max_failure_ttl", out.Cache.FailureTTL, out.Cache.MaxFailureTTL},
	} {
		if pair.min > pair.max {
			c.fault(c.anyOf(pair.low, pair.high), "%s is %s, more than %s (%s)", pair.low, durationText(pair.min), pair.high, durationText(pair.max))
			return
		}
	}
}

// anyOf is the first of two keys that the file holds, or the first if it holds neither.
func (c *checker) anyOf(first, second string) value {
	if v := c.written(first); v.line > 0 {
		return v
	}
	if v := c.written(second); v.line > 0 {
		return v
	}
	return c.written(first)
}
