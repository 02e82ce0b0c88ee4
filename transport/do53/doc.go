// Package do53 matches the plain DNS exchanges of one worker over UDP (RFC 1035 §4.2.1), and keeps them hard to forge (RFC 5452): which
// id belongs to which query on which socket, and when a socket, and with it a source port, has been used long enough.
//
//	exchange   (socket, id) -> (slot, generation): Open picks the id, Match finds it, Close forgets it
//	socket     a number below SocketsMax that the caller keeps its file descriptor under
//
// A forged answer that comes from off the path must hit the source port, the id and the question at the same time. Ids come from ChaCha8
// (math/rand/v2, seeded by crypto/rand), so none can be computed from those seen; Choose picks the port with the same generator; ports
// are drawn by the kernel, and Rotate retires each after limited use, sooner if somebody guesses at it. Spelling the question back is
// checked by the caller, with transport/wire.
//
// Life of a socket: Started -> Rotate says Replace -> the caller starts another and calls Retire (answers come, queries do not) ->
// Rotate says Close (every exchange is over, or too old to wait for) -> the caller closes the descriptor.
//
// No sockets and no clock in here: times are nanoseconds of the caller's monotonic clock. One worker, one table, no locks. Nothing
// allocates after New, and the tables hold no pointers. Misuse that only our own code can commit panics.
package do53
