// Package stream is the sender for DNS over TCP (RFC 7766) and TLS (RFC 7858): connections on which many queries are
// outstanding at a time, answered in any order.
//
// Each connection has a goroutine that reads and one that writes. The reader judges all answers that one read brought and
// tells the writer, which puts as many queries into one write, and so into one TLS record, as are due. Thus the cost of the
// goroutines is paid per batch. The writer never holds the lock while it writes, so a server that stops reading until its
// answers are read deadlocks with nobody.
//
// A connection that is lost is opened again; the queries on it are lost. In open loop one locked thread keeps time, as the
// runtime's timers are only good to a millisecond.
package stream
