// Package cache is one worker's packet cache: answers in wire form, keyed by question, in memory outside the Go heap, bounded in bytes
// with everything counted.
//
// # Memory
//
//	index    buckets of 64 bytes, one cache line: 8 x 16-bit tag, 8 x 32-bit reference, 7 x 16-bit ghost, 2 x 8-bit counter
//	chunks   128 KiB each, filled from the front with entries of any size in units of 8 bytes; a reference is chunk << 14 | unit
//	entry    32-byte header | TTL offsets (2 bytes each) | key | records
//
// An answer has no question, because the key has its name, and no OPT. There are no size classes, so none can starve: chunks are all
// alike and a chunk is only ever freed as a whole.
//
// # Eviction
//
// The order is S3-FIFO's (Yang et al., SOSP 2023), by the authors of SIEVE and with its two ideas, lazy promotion and quick demotion, on
// a log: a hit moves nothing, and what was never asked again leaves early.
//
//	Put ──> probation (a tenth of the chunks) ── asked again? ──> main ── asked again? ──> back to the front of main
//	  └────> main, if a ghost remembers it           └── no: out, leaves a ghost    └── no: out
//
// A flood of names that are asked once passes through probation and never touches main. When free chunks run low, each Put cleans a few
// entries of one victim chunk, in proportion to its own size, so no Put pays for a whole chunk. A chunk of which at least half is known
// to be expired or replaced is preferred to both queues' ends: every chunk counts its live bytes by expiry in powers of two seconds.
// A key that is put again while its entry is there is overwritten in place.
//
// # Shares
//
// Keys of a pool or a partition may have a share: a number of chunks, with probation, main, victim and credit of their own (share.go). The index is common. A hit does
// not know of it. A share that may have more than it has takes chunks from the one that has most beyond its own, a few with each Put.
//
// # Rules
//
// One thread. Nothing here reads a clock: now is in seconds, counts from any start and never goes back. Get, Put and Delete do not
// allocate. The views that Get returns are valid until the next Put, SetLimit, Flush or Close. An answer that is put must not be such a view.
package cache
