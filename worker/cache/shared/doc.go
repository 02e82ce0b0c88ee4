// Package shared is the cache level that all workers of one NUMA node have in common, and what they need to ask an upstream once, not once
// each: a table of answers, a directory of questions under way, and an inbox for each worker.
//
// # Table
//
// Answers in wire form under full keys, in sets of 8 slots of one size. A key has one set in each class of sizes.
//
//	set     8 state words | 8 info words | 8 slots of 192, 384, 1024 or 4096 bytes
//	state   version (32 bits, odd: being written) | tag of the hash (32 bits; 0: free)
//	info    end of the TTL (32 bits) | time it was stored (31 bits) | visited (1 bit)
//	slot    40-byte header | TTL offsets (2 bytes each) | key | records
//
// A reader takes no lock and never waits: it copies the slot's words and looks at the state word again; if that has changed it tries once more,
// and then it is a miss. A writer takes a slot by one compare-and-swap of the state word; a slot that another one is writing is passed over.
// So a writer that stops in the middle costs everybody one slot, and nobody time. Every word that two threads may touch is read and written
// by sync/atomic, which is sequentially consistent in Go: words that were copied between two equal and even state words belong together.
// On top of that the copy is used only if it has the whole key.
//
// Who has to go: what is free, then what has expired, then the oldest that nobody has come for, then the oldest (SIEVE's rule within a set). A
// flood of names that are asked once so replaces itself, not what is asked again. Keys of a pool or a partition may have a share, sets of their own.
//
// # Directory
//
// One entry of two words for each value of a part of the hash: who asks claims it, who finds it claimed for the same question registers as
// a follower in the same word, and whoever claimed it takes that word back when the answer is in the table: nobody can register too late. Two
// questions that want one entry at a time do without: the second is asked without it.
//
// # Flush
//
// Shared first, then the workers' shards: what a worker copies into its shard before its shard is flushed goes with that, and afterwards there is
// nothing to copy. Questions that are under way meanwhile are answered and kept, as always.
//
// # Rules
//
// Any thread may call any method at any time, but for Inbox.Take, Missed and Pending (its worker only) and Close (nobody else is left). Nothing
// here reads a clock; times are those of the worker: seconds for the table, ns for the directory. Nothing allocates but New and the like.
package shared
