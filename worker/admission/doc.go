// Package admission decides which queries a worker does not even receive when more arrive than it can answer, and which questions it does not ask
// while upstreams have no room for all.
//
// Receiving a datagram costs about half of answering it, and what finds no room in the socket's queue is lost whoever sent it: a client
// that asks little loses the same share as the one that floods. So the excess is refused to those who cause it, in the kernel, before it
// takes room (ring/sys.SourceFilter).
//
//	part        what it does
//	Sketch      counts datagrams by source in fixed memory: set-associative Space-Saving, 16 KiB, a few ns a datagram
//	Controller  looks at the sockets' queues 100 times a second or more, and says who is refused which share of what they send
//	Misses      looks at what is asked and answered ten times a second, and says of which sources and zones how much is not asked
//
// A source is an IPv4 address or the /64 of an IPv6 address. The Controller holds the queue at Config.Target: it measures what the worker
// takes while something waits (its capacity), what is offered (taken, dropped and queued), and shares the capacity out by max-min
// fairness: sources below the fair share get all that they ask for, those above get the fair share. So light sources lose nothing, and a
// single heavy one has the whole capacity less what the others use: nothing is refused that could have been answered.
//
// Where the heaviest sources together do not account for half of the excess (a flood with random forged sources), nobody is to blame:
// nobody is refused by the Controller, and what finds no room is lost at random. Misses then doubts those who have proven nothing.
//
// Both look at what was, and a flood may be in step with the looks. So the Controller believes in the last burst for as long as the queue is too
// long, and while some were heavy lately, to Misses whoever asks more than all may is heavy at once.
//
// Thread rule: one worker, one of each, no locks, no clock: times are nanoseconds of the caller's. Nothing here allocates after New.
package admission
