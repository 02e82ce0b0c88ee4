// Package pool drives lanes over protocols that give every query a stream of its own: DNS over QUIC and over HTTPS. What the
// protocols share is here: a bounded number of goroutines, one for each outstanding query; a few connections kept, chosen from, dialed
// when needed and replaced when they end; back-off, deadlines, and the reports to health; and how QUIC connections are made (DoQ, HTTP/3).
//
//	lane ─▶ driver ─▶ one goroutine a query ─▶ Conn.Exchange ─▶ lane
//
// A query cannot meet another's answer: the answer comes back on the query's own stream, to the goroutine that knows its slot.
// The goroutine of a query replies to it exactly once, before its deadline or right after.
package pool
