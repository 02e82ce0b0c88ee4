// Package doq drives lanes over DNS over dedicated QUIC connections (RFC 9250): one bidirectional stream for each query, a 2-byte
// length before each message, the end of the stream after it, and message id 0.
//
//	Start ─▶ stream, query, FIN ─▶ server ─▶ FIN ─▶ quic-go's loop ─▶ done ─▶ reader ─▶ Call.Finish
//
// No goroutine waits for an answer. Whoever starts a call opens the stream and writes the query, which quic-go only queues; its loop tells
// when the end of a stream has come, and the connection's reader takes all the answers that have come meanwhile and shows them to the
// worker at once. A stream that has ended with a gap in it, after a loss, gets a goroutine of its own: no answer waits for another.
//
// Each connection has a UDP socket of its own, connected, so that a server that is gone is known by the first ICMP error, and a path
// that was lost is not used again by the connection that takes over.
//
// 0-RTT is an option (transport.QUICSettings). With it the race detector finds one in quic-go (0.65, issue 4303, open): a stream that is opened
// while the handshake ends reads the pointer to the server's transport parameters as it is replaced. It gets the old ones or the new ones;
// both hold for it. Only a QUERY or a NOTIFY goes in it (RFC 9250 §4.5); what the server rejects is sent again.
//
// Choice of connection, replacement, back-off and limits are transport/pool's.
package doq
