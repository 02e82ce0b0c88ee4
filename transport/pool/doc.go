// Package pool drives lanes over protocols that give every query a stream of its own: DNS over QUIC and over HTTPS. What the
// protocols share is here: a bounded number of calls; a few connections kept, chosen from, dialed when needed and replaced when they
// end, wear out or stall; back-off, deadlines, and the reports to health.
//
//	lane ─▶ driver ─▶ Starter.Start ─▶ the connection's own goroutines ─▶ Call.Finish ─▶ lane
//
// A query cannot meet another's answer: the answer comes back on the query's own stream, and with it the Call that knows its slot.
// A Call is replied to exactly once: at its deadline, give or take a sweep, if nothing else came first.
//
// Connections whose exchanges block (Exchanger) get a goroutine for each of them, from a bounded set that is kept while there is load.
package pool
