// Package stream is the TCP ingress of one worker: which connections exist, how their bytes become messages and their answers bytes
// (RFC 7766), and when they have to go. It has no sockets and no clock: bytes, events and times come in, bytes to send and decisions
// come out.
//
// On the wire (RFC 1035 §4.2.2, RFC 7766 §8): a 2-byte length, then that many bytes of message, any number of them, cut into segments
// anywhere.
//
//	bytes read    Feed, then Next until it says something else than Message. A message that lies in one read is handed out in place;
//	              one that straddles reads, and what must wait, is kept in a pooled buffer
//	answers       Reserve, Commit: into the connection's filling buffer, as many as fit. Output hands that buffer to one send; meanwhile
//	              a second one fills. So all answers of a turn leave in one send
//
// After Feed, Done, Sent and End the caller does the same four steps, in any case harmless:
//
//	Next until not Message -> Output (send what it returns) -> WantRead (arm one read if true) -> ShouldClose (close if true)
//
// Back-pressure is built in: at InFlightPerConn queries under way, or with answers piling up behind a send, Next says TooMany and
// WantRead says no, and the kernel's window stops the client. A client that neither reads nor goes away is closed.
//
// Time is kept in a list in order of the last complete query or answer, so half a message, however it drips, earns no time.
//
// Ownership: data given to Feed is only read until the caller's next ring turn, and what is left of it then is copied by Next. What
// Output returned belongs to the kernel until Sent or Release. Everything is mapped outside the Go heap and touched only when used.
//
// Thread rule: one worker, one table, no locks. Nothing allocates after New. Misuse that only our own code can commit panics.
package stream
