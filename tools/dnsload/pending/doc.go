// Package pending keeps the queries of one flow (a UDP socket or a stream connection) that wait for an answer, and judges
// every message that comes back.
//
// A query lies in a slot of a fixed table. Its id is the slot's index in the low bits and the slot's generation above, so
// that an answer is found without a search, and one to an earlier query of the slot is told from one to nobody. A slot keeps
// the packet as sent: it is the buffer that the kernel reads it from, and what the question of the answer is compared with.
//
// A slot that was answered is the next to be used, as its memory is still in the cache. One whose query was lost waits behind
// all others, so that the late answer still meets its id.
//
// As a resolver would, a wrong answer leaves its query outstanding: the right one may follow, else it is lost.
//
// Not safe for concurrent use; nothing allocates after New.
package pending
