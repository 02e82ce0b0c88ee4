// Package doq drives lanes over DNS over dedicated QUIC connections (RFC 9250): one bidirectional stream for each query, a 2-byte
// length before each message, the end of the stream after it, and message id 0. No 0-RTT: queries could be replayed (§4.5).
//
// Each lane has one UDP socket, shared by its connections one after the other or side by side. Choice of connection, back-off,
// deadlines and limits are transport/pool's.
package doq
