// Package dot drives lanes over streams: DNS over TCP (RFC 7766) and over TLS (RFC 7858), which differ only in the handshake.
//
// Goroutines of one lane: the driver, which takes queries from the lane, chooses a connection, dials, and watches deadlines; and for
// each connection a writer and a reader.
//
//	lane ─▶ driver ─▶ conn.out ─▶ writer ─▶ one Write of up to 16 KiB of frames, one TLS record
//	lane ◀──────────────────────  reader ◀─ one Read; every frame in it is answered before one Publish
//
// While a write is under way the next batch gathers in conn.out: the batches grow with the load and nothing waits for them to. A
// query is known by its id in the table of its connection from the time it enters conn.out until it is answered or, after its
// deadline, a grace has passed. Whoever takes it out of the table, under the connection's lock, replies to it: exactly one reply.
//
// A connection ends in one of these ways:
//
//	has done its share (MaxQueries, MaxAge)  its successor is dialed, then it takes no more queries, finishes what it owes, says goodbye
//	the server wants it closed (RFC 7828)    the same, but at once
//	idle (ours or the server's timeout)      says goodbye
//	closed by the server                     its queries are sent again, on the next connection
//	nothing read for DeadAfter, broken       its queries fail
//
// TLS sessions are resumed, but there is no 0-RTT: crypto/tls (Go 1.26) marks a session as fit for early data only over QUIC, and no
// maintained Go library that offers it to a client over TCP was found (November 2026; cloudflare/tls-tris never had the client's side).
// What can be saved without it is the round trip of TCP: Endpoint.FastOpen.
package dot
