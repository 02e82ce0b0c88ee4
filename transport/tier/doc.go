// Package tier is a cache that instances of the proxy share: Redis, Valkey or memcached, asked before an upstream is and filled after.
//
//	worker  ── Ask, Fill ──> Line ──> driver ── a few calls at a time ──> client library ──> server
//	worker  <── Receive ───  Line <── driver
//
// A Line belongs to one worker and is a transport.Lane with one queue more: the worker takes no lock, waits for nothing and wakes its driver
// by an eventfd, if at all. The time that a question has is the worker's own timer, whatever the driver does. A Store is the servers with
// the client library that keeps the connections; it serves the Lines of all workers. A Breaker says whether asking is worth while; each
// worker has its own.
//
// What is stored is an answer as its upstream gave it, before policy and clamps of the instance that asked: each instance treats it as
// it treats an upstream's, with the TTL that is left. Values are untrusted input: see ParseValue for what is checked here; the message inside is
// parsed by the worker like any response. Whoever can write to the server can still forge answers: it must be as trusted as an upstream.
//
// A name in the tier is prefix:version:hash, 47 bytes and the prefix: the SHA-256 of the pool's name and the key of the question. Both stand in the
// value too, in full.
//
// Limits: limits.go. Standards: TTLs age as RFC 8767 §4 and RFC 2308 §5 have it (wire.AgeTTLs).
package tier
