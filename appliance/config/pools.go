package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/worker"
)

// DefaultPool is the name of the pool that takes every query that no other claims. It is always there.
const DefaultPool = "default"

// Pool is a set of upstreams with what is done with them.
type Pool struct {
	Name        string
	Policy      balance.Policy
	Fanout      int // race: upstreams asked at once; 0 = all
	HedgeBudget int // hedged: percent of queries
	RetryBudget int // percent of queries
	HashLoad    int // hash: percent of the mean load
	Suffixes    []string
	Subnet      PoolSubnet
	Cache       bool
	CacheSize   int64 // of cache.bytes for it alone; 0 = none
	TTLs        PoolTTLs
	WhenDown    worker.WhenDown
	StaleAfter  time.Duration // stale: 0 = only when a query has failed
	NeverStale  []string      // stale: fully qualified, lower case

	MaxOutstanding int // all workers; 0 = no cap
	MaxRate        int // exchanges a second, all workers; 0 = no cap
	MaxConnections int // of all its upstreams, all workers; 0 = no cap
	Adaptive       bool
}

// Caps bounds what all upstreams of one kind may have under way together; 0 = no cap.
type Caps struct {
	UDP, TCP, TLS, QUIC, HTTPS Cap
}

// Cap is over all workers.
type Cap struct {
	MaxOutstanding, MaxConnections int
}

// poolKeys is every key of one [pool.NAME].
var poolKeys = slices.Concat([]key[Pool]{
	policyKey("policy", func(p *Pool) *balance.Policy { return &p.Policy }).reload(),
	fanoutKey("race_fanout", func(p *Pool) *int { return &p.Fanout }).reload(),
	integerKey("hedge_budget", 0, 100, 5, func(p *Pool) *int { return &p.HedgeBudget }).reload(),
	integerKey("retry_budget", 0, 100, 20, func(p *Pool) *int { return &p.RetryBudget }).reload(),
	integerKey("hash_load", 101, 1000, 125, func(p *Pool) *int { return &p.HashLoad }).reload(),
	suffixesKey("suffixes", func(p *Pool) *[]string { return &p.Suffixes }),
	booleanKey("cache", true, func(p *Pool) *bool { return &p.Cache }).reload(),
	sizeKey("cache_size", 0, 1<<40, "0", func(p *Pool) *int64 { return &p.CacheSize }).reload(),
	choiceKey("when_down", "best", []choice[worker.WhenDown]{
		{"best", worker.Best}, {"stale", worker.Stale}, {"servfail", worker.ServFail},
	}, func(p *Pool) *worker.WhenDown { return &p.WhenDown }).reload(),
	durationKey("stale_after", 0, waitMax, time.Millisecond, "1800ms", func(p *Pool) *time.Duration { return &p.StaleAfter }).reload(),
	suffixesKey("never_stale", func(p *Pool) *[]string { return &p.NeverStale }),
	integerKey("max_outstanding", 0, outstandingMax, 0, func(p *Pool) *int { return &p.MaxOutstanding }).reload(),
	integerKey("max_rate", 0, worker.PoolRateMax, 0, func(p *Pool) *int { return &p.MaxRate }).reload(),
	integerKey("max_connections", 0, connectionsAllMax, 0, func(p *Pool) *int { return &p.MaxConnections }).reload(),
	booleanKey("adaptive_limit", true, func(p *Pool) *bool { return &p.Adaptive }).reload(),
}, poolTTLKeys, poolSubnetKeys)

func capKey(scheme string, at func(*Caps) *Cap) key[Checked] {
	return integerKey("caps."+scheme+".max_outstanding", 0, outstandingMax, 0,
		func(c *Checked) *int { return &at(&c.Caps).MaxOutstanding }).reload()
}

func connCapKey(scheme string, at func(*Caps) *Cap) key[Checked] {
	return integerKey("caps."+scheme+".max_connections", 0, connectionsAllMax, 0,
		func(c *Checked) *int { return &at(&c.Caps).MaxConnections }).reload()
}

func policyKey[T any](name string, at func(*T) *balance.Policy) key[T] {
	var choices []choice[balance.Policy]
	for i, text := range balance.Names() {
		choices = append(choices, choice[balance.Policy]{text, balance.Policy(i)})
	}
	return choiceKey(name, balance.RoundRobin.String(), choices, at)
}

func fanoutKey[T any](name string, at func(*T) *int) key[T] {
	return integerKey(name, 0, fanoutMax, 2, at)
}

func readPools(c *checker, t *Checked, v value) {
	table, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, "must be tables, written [pool.NAME], not %s", v.kind())
		return
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := v.field(name, table[name])
		data, ok := table[name].(map[string]any)
		switch {
		case !ok:
			c.fault(entry, "must be a table, written [pool.%s], not %s", name, entry.kind())
			continue
		case !poolName(name):
			c.fault(entry, "%q is no name of a pool: 1 to 32 letters, digits, - and _", name)
			continue
		}
		t.Pools = append(t.Pools, c.pool(name, entry, data))
	}
}

// pool reads one table.
func (c *checker) pool(name string, entry value, data map[string]any) Pool {
	p := Pool{Name: name}
	fill(c, poolKeys, &p, entry, data)
	return p
}

// idlePoolKeys refuses settings that would have no effect.
func (c *checker) idlePoolKeys(out *Checked) {
	for _, p := range out.Pools {
		for _, only := range []struct {
			key    string
			policy balance.Policy
		}{{"race_fanout", balance.Race}, {"hedge_budget", balance.Hedged}, {"hash_load", balance.Hash}} {
			if v := c.written(joinKey(joinKey("pool", p.Name), only.key)); v.line != 0 && p.Policy != only.policy {
				c.fault(v, "has no effect with policy %q, only with %q", p.Policy, only.policy)
			}
		}
		for _, only := range []string{"stale_after", "never_stale"} {
			if v := c.written(joinKey(joinKey("pool", p.Name), only)); v.line != 0 && p.WhenDown != worker.Stale {
				c.fault(v, "has no effect without when_down = %q", worker.WhenDownNames[worker.Stale])
			}
		}
	}
}

// poolName accepts what needs no quotes in TOML and in a metric's label.
func poolName(name string) bool {
	return name != "" && len(name) <= 32 && strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}

// suffixesKey is a list of names that stand for all below them too.
func suffixesKey[T any](name string, at func(*T) *[]string) key[T] {
	return key[T]{
		name: name, standard: "[]", bounds: "0 to 4096 names",
		get: func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			items, ok := c.oneOrMany(v, suffixesMax)
			if !ok {
				return
			}
			for _, item := range items {
				name, ok := c.name(item)
				switch {
				case !ok:
				case slices.Contains(*at(t), name):
					c.fault(item, "%q stands twice", name)
				default:
					*at(t) = append(*at(t), name)
				}
			}
		},
	}.reload()
}

func readUpstreamPools(c *checker, u *Upstream, v value) {
	items, ok := c.oneOrMany(v, worker.PoolsMax)
	if !ok {
		return
	}
	if len(items) == 0 {
		c.fault(v, "is empty: an upstream in no pool would never be asked")
	}
	u.Pools = nil
	for _, item := range items {
		name, ok := c.text(item)
		if !ok {
			continue
		}
		if slices.Contains(u.Pools, name) {
			c.fault(item, "%q stands twice", name)
			continue
		}
		u.Pools = append(u.Pools, name)
	}
}

// pools checks what no pool can know by itself, and puts the default pool first.
func (c *checker) pools(out *Checked) {
	at := slices.IndexFunc(out.Pools, func(p Pool) bool { return p.Name == DefaultPool })
	standard := c.pool(DefaultPool, c.written("pool.default"), nil)
	if at >= 0 {
		standard = out.Pools[at]
		out.Pools = slices.Delete(out.Pools, at, at+1)
	}
	c.defaultPool(out, &standard)
	out.Pools = slices.Insert(out.Pools, 0, standard)
	if len(out.Pools) > worker.PoolsMax {
		c.fault(c.written("pool"), "%d pools, at most %d are allowed", len(out.Pools), worker.PoolsMax)
	}
	c.idlePoolKeys(out)
	c.poolTTLs(out)
	c.suffixes(out)
	c.membership(out)
}

// defaultPool lets the keys at the top of the file speak for the default pool where its table does not.
func (c *checker) defaultPool(out *Checked, p *Pool) {
	if v := c.written("pool.default.suffixes"); len(p.Suffixes) > 0 {
		c.fault(v, "the default pool has every name that no other pool claims, and takes no suffixes")
	}
	for _, pair := range []struct {
		top, own string
		take     func()
	}{
		{"upstream_policy", "pool.default.policy", func() { p.Policy = out.Policy }},
		{"upstream_race_fanout", "pool.default.race_fanout", func() { p.Fanout = out.Fanout }},
	} {
		own := c.written(pair.own)
		switch {
		case own.line == 0:
			pair.take()
		case c.written(pair.top).line != 0:
			c.fault(own, "stands beside %s, which means the same: keep one of them", pair.top)
		}
	}
	out.Policy, out.Fanout = p.Policy, p.Fanout
	if v := c.written("upstream_race_fanout"); v.line != 0 && p.Policy != balance.Race {
		c.warn(v, "has no effect with upstream_policy %q, only with %q", p.Policy, balance.Race)
	}
}

// suffixes makes sure that every name belongs to one pool.
func (c *checker) suffixes(out *Checked) {
	owner := map[string]string{}
	for _, p := range out.Pools[1:] {
		for _, suffix := range p.Suffixes {
			if other, twice := owner[suffix]; twice {
				c.fault(c.written(joinKey("pool", p.Name)+".suffixes"), "%q is claimed by pool %q already", suffix, other)
			}
			owner[suffix] = p.Name
		}
	}
}

// idlePools makes sure that queries are sent to every pool.
func (c *checker) idlePools(out *Checked) {
	for _, p := range out.Pools[1:] {
		if len(p.Suffixes) == 0 && !c.poolsUsed[p.Name] {
			c.fault(c.written(joinKey("pool", p.Name)), "has no suffixes, and no rule names it: no query would be sent to it")
		}
	}
}

// membership makes sure that upstreams and pools know each other.
func (c *checker) membership(out *Checked) {
	members := map[string]int{}
	for i := range out.Upstreams {
		for _, name := range out.Upstreams[i].Pools {
			members[name]++
			if !slices.ContainsFunc(out.Pools, func(p Pool) bool { return p.Name == name }) {
				c.fault(c.written(joinKey(joinIndex("upstream", i), "pools")), "pool %q is not there: write a table [pool.%s]", name, name)
			}
		}
	}
	for _, p := range out.Pools {
		switch v := c.written(joinKey("pool", p.Name)); {
		case members[p.Name] > 0 || len(out.Upstreams) == 0:
		case p.Name == DefaultPool:
			c.fault(c.written("upstream"), "no upstream is in the pool %q: nobody could be asked for the names that no other pool claims", p.Name)
		default:
			c.fault(v, "no upstream is in this pool: write pools = [%q] in an [[upstream]]", p.Name)
		}
	}
}
