package config

import (
	"path/filepath"
	"strings"
	"time"
)

// persistKeys are those for a cache that outlives the process.
var persistKeys = []key[Checked]{
	key[Checked]{
		name: "cache.persist", standard: `""`, bounds: `an absolute path, or "" for off`,
		read: func(c *checker, t *Checked, v value) {
			if path, ok := c.absolutePath(v); ok {
				t.Cache.Persist = path
			}
		},
		get: func(t *Checked) any { return &t.Cache.Persist },
	}.reload(),
	durationKey("cache.persist_interval", 0, 24*time.Hour, time.Second, "15m",
		func(c *Checked) *time.Duration { return &c.Cache.PersistInterval }).reload(),
}

// absolutePath reads the path of a file; "" is one too.
func (c *checker) absolutePath(v value) (string, bool) {
	s, ok := c.text(v)
	if !ok || s == "" {
		return "", ok
	}
	if !filepath.IsAbs(s) || strings.HasSuffix(s, "/") {
		c.fault(v, "%q is not an absolute path of a file", s)
		return "", false
	}
	return filepath.Clean(s), true
}
