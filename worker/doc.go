// Package worker is one core of the proxy: clients over UDP and TCP on one side, upstreams on the other, a cache between them.
//
// A Group starts one worker per core. A worker is a locked, pinned thread with its own engine, its own sockets in the SO_REUSEPORT groups,
// cache shard, in-flight table, TCP table and lanes; workers share nothing that is written on a query's way but the health of upstreams.
// The thread runs turns (see worker.turn): it waits in the engine only, and for a query it takes no lock
// and allocates nothing. Other goroutines
// reach it through a command, which is the complete state that it is to be in, and read its figures as it publishes them.
//
// Files follow the life of a query: query.go (from bytes to a reply or a waiter), exchange.go (attempts, deadlines, answers), do53.go and
// lanes.go (the two ways to an upstream), reply.go (to the client), tcp.go (the life of a TCP client), upstream.go (snapshots and
// reloads), group.go (threads), steering.go (which worker gets what), place.go (where a worker and its memory are), report.go and stats.go (figures).
//
// RFC 1035, 2181 §5.2, 2308, 5452, 6891, 7766, 8914.
package worker
