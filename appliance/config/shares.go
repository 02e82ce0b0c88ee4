package config

import "secure-dns-proxy/worker"

// cacheSizes makes sure that the parts of the cache that pools and views have for themselves, and what they leave, are large enough.
func (c *checker) cacheSizes(out *Checked) {
	rest, least, any := out.Cache.Bytes, int64(out.Workers.Count)*worker.ShareBytesMin, false
	take := func(at value, bytes int64) {
		if bytes == 0 {
			return
		}
		any = true
		if !out.Cache.Enabled {
			c.warn(at, "has no effect: cache.enabled is false")
		}
		if bytes < least {
			c.fault(at, "%s for %d workers: at least %s", sizeText(bytes), out.Workers.Count, sizeText(least))
		}
		rest -= bytes
	}
	for _, p := range out.Pools {
		at := c.written(joinKey(joinKey("pool", p.Name), "cache_size"))
		if p.CacheSize != 0 && !p.Cache {
			c.fault(at, "has no effect with cache = false")
		}
		take(at, p.CacheSize)
	}
	for i := range out.Views {
		v := &out.Views[i]
		at := c.written(joinKey(joinKey("view", v.Name), "cache_size"))
		if v.CacheBytes != 0 && !v.OwnCache {
			c.fault(at, "has no effect without own_cache = true")
		}
		take(at, v.CacheBytes)
	}
	if any && rest < least {
		c.fault(c.written("cache.bytes"), "%s, of which cache_size of pools and views leaves %s to all others: at least %s for %d workers", sizeText(out.Cache.Bytes),
			sizeText(max(rest, 0)), sizeText(least), out.Workers.Count)
	}
}
