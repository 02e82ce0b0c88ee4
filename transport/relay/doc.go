// Package relay carries messages that are no cacheable queries to an upstream, and what the upstream answers back: NOTIFY (RFC 1996), UPDATE (RFC 2136),
// other opcodes, signed queries, zone transfers (RFC 5936, RFC 1995). A worker and the goroutines that do it are joined by a Line, as worker and
// upstream are by a lane.
//
//	worker                         Line                    goroutine of a job
//	fills Jobs[place], Start  -->                     -->  connects, sends, reads a message
//	Receive                   <--  the message        <--
//	(of a transfer) More      -->                     -->  the next one, which it has read meanwhile
//	Receive                   <--  nothing: the end   <--
//
// So a transfer is as fast as its client reads, with two messages in memory at most. Each Start and each More is followed by exactly one Reply. Whoever does not want
// the rest of a job calls Stop, which a Reply follows only if one was owed already.
//
// Every job has a connection of its own, which is closed when it ends: TCP to a udp or tcp upstream, TLS, a QUIC stream (RFC 9250), or one POST (RFC 8484), which carries
// no transfer. Messages pass as they are but for the id, which is drawn anew (RFC 2136 §6; 0 over QUIC): nothing is padded, and no option is added, so that signatures hold
// (RFC 8945 §5.3 signs the original id). 0-RTT is not used.
//
// A message that must not take effect twice (Job.Once) is sent to one upstream only: another one is tried as long as nothing was sent.
//
// Ownership: a Job belongs to the worker until Start and after the last Reply, to the goroutine in between.
package relay
