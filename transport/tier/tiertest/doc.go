// Package tiertest runs real Redis and memcached servers for tests: one alone, a cluster, a master under a sentinel. Each listens on 127.0.0.1 only,
// keeps nothing on disk beside its log, and ends with its test. Debian's redis-server, redis-tools and memcached have to be installed.
package tiertest
