// Package inflight is the fixed table of one worker's outstanding queries: who waits for what, and until when.
//
// A slot stands for one question that an upstream is being asked. Every client with the same question joins the slot as a waiter,
// so a popular name costs one exchange however many ask for it. Each slot owns one timer.
//
//	part     memory                                   found by
//	slots    Config.Slots x Slot                      number + generation, or hash + key through the index
//	index    2..4 x Slots, 8 bytes each               linear probing, backward-shift deletion: no tombstones, no rehash
//	waiters  Config.Waiters x Waiter                  a list per slot, in order of arrival
//	wheel    32768 buckets of 1 ms, 16 bytes a timer  doubly linked lists; schedule, cancel and expire are O(1)
//
// All of it is mapped outside the Go heap, holds no Go pointer, and is touched only once it is used: a generous Config costs address
// space, not memory. Free slots and waiters are reused last-in first-out, which keeps the touched part small and warm.
//
// Pointers from At, Live, FirstWaiter and NextWaiter point into the table: valid until that slot is released. A number kept
// elsewhere (in an exchange, in a lane) is kept with Slot.Gen and looked up with Live, which tells a stale one.
//
// Thread rule: one worker, one table, no locks. There is no clock in here: times are nanoseconds of the caller's monotonic clock, from
// 0 up. No method allocates. Misuse that only our own code can commit (an open key opened again, a free slot released) panics.
package inflight
