// Package transport is the contract between a worker, which owns a locked thread and never blocks, and the goroutines that own
// the connections to upstream servers.
//
// A Lane joins one worker and one Endpoint. It is two byte queues:
//
//	worker ── Submit, Flush ──▶ queries  ──▶ Wait, Next ──────▶ driver (transport/dot, doq, doh)
//	worker ◀─ Receive ───────── answers  ◀── Answer, Fail, Publish ──── any goroutine of the driver
//
// The worker's side takes no lock, allocates nothing and never makes a goroutine runnable: queries are published with one atomic
// store a turn, and an eventfd in the runtime's poller is written only if the driver sleeps. Every Submit that returned true is
// followed by exactly one Reply, an answer or a Fault; that reply always finds room in the queue (see limits.go).
//
// Bytes are copied into the queues and views are handed out; each method says how long its view lives. Times are monotonic
// nanoseconds since Base. Messages carry no length prefix here; the id of a query is the driver's business.
//
// RFC 7766 (TCP), RFC 7858 (TLS), RFC 9250 (QUIC), RFC 8484 (HTTPS).
package transport
