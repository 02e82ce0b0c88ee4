package config

import "time"

// PoolTTLs are bounds of the TTLs of one pool's answers, as those in Cache; nil = what Cache says.
type PoolTTLs struct {
	MinTTL, MaxTTL, MinNegativeTTL, MaxNegativeTTL *time.Duration
}

// poolTTLKeys are those of a pool for the TTLs of its answers.
var poolTTLKeys = []key[Pool]{
	poolTTLKey("min_ttl", func(t *PoolTTLs) **time.Duration { return &t.MinTTL }),
	poolTTLKey("max_ttl", func(t *PoolTTLs) **time.Duration { return &t.MaxTTL }),
	poolTTLKey("min_negative_ttl", func(t *PoolTTLs) **time.Duration { return &t.MinNegativeTTL }),
	poolTTLKey("max_negative_ttl", func(t *PoolTTLs) **time.Duration { return &t.MaxNegativeTTL }),
}

// poolTTLKey is cache.NAME for one pool alone.
func poolTTLKey(name string, at func(*PoolTTLs) **time.Duration) key[Pool] {
	all := cacheTTLKeys[name]
	return key[Pool]{
		name: "cache_" + name, bounds: all.bounds, live: true,
		get: func(p *Pool) any { return at(&p.TTLs) },
		read: func(c *checker, p *Pool, v value) {
			before := len(c.problems)
			var scratch Checked
			if all.read(c, &scratch, v); !c.problems[before:].Broken() {
				*at(&p.TTLs) = all.get(&scratch).(*time.Duration)
			}
		},
	}
}

// cacheTTLKeys are the keys of [cache] that a pool may have for itself.
var cacheTTLKeys = map[string]key[Checked]{
	"min_ttl": durationKey("cache.min_ttl", 0, time.Hour, time.Second, "0s",
		func(c *Checked) *time.Duration { return &c.Cache.MinTTL }).reload(),
	"max_ttl": durationKey("cache.max_ttl", time.Second, secondsMax, time.Second, "24h",
		func(c *Checked) *time.Duration { return &c.Cache.MaxTTL }).reload(),
	"min_negative_ttl": durationKey("cache.min_negative_ttl", 0, time.Hour, time.Second, "0s",
		func(c *Checked) *time.Duration { return &c.Cache.MinNegativeTTL }).reload(),
	"max_negative_ttl": durationKey("cache.max_negative_ttl", 0, secondsMax, time.Second, "1h",
		func(c *Checked) *time.Duration { return &c.Cache.MaxNegativeTTL }).reload(),
}

// CacheOf returns how the answers of p are kept, given what holds for all.
func (p *Pool) CacheOf(all Cache) Cache {
	choose(&all.MinTTL, p.TTLs.MinTTL)
	choose(&all.MaxTTL, p.TTLs.MaxTTL)
	choose(&all.MinNegativeTTL, p.TTLs.MinNegativeTTL)
	choose(&all.MaxNegativeTTL, p.TTLs.MaxNegativeTTL)
	return all
}

// poolTTLs checks that the bounds of each pool's TTLs leave something between them.
func (c *checker) poolTTLs(out *Checked) {
	for i := range out.Pools {
		p := &out.Pools[i]
		if p.TTLs == (PoolTTLs{}) {
			continue
		}
		table, own := joinKey("pool", p.Name), p.CacheOf(out.Cache)
		for _, pair := range []struct {
			low, high string
			min, max  time.Duration
		}{
			{"cache_min_ttl", "cache_max_ttl", own.MinTTL, own.MaxTTL},
			{"cache_min_negative_ttl", "cache_max_negative_ttl", own.MinNegativeTTL, own.MaxNegativeTTL},
			{"cache_min_negative_ttl", "cache_max_ttl", own.MinNegativeTTL, own.MaxTTL},
		} {
			if pair.min > pair.max {
				c.fault(c.anyOf(joinKey(table, pair.low), joinKey(table, pair.high)), "%s is %s, more than %s (%s), with what [cache] says of all pools",
					pair.low, durationText(pair.min), pair.high, durationText(pair.max))
				break
			}
		}
	}
}
