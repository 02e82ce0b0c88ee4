// Package balance chooses the upstream of an exchange, and says when to ask a second one.
//
//	Chooser   one worker's choice within one pool: Pick(candidates) by policy
//	Latency   what one worker has seen of one upstream: peak-EWMA and 95th percentile
//	Budget    retries or hedges as a percentage of queries
//
// Everything here is arithmetic on what the caller passes in: no clock, no socket, no lock, no allocation after New. One worker, one of
// each. Times are nanoseconds of the caller's monotonic clock.
//
// Sources: smooth weighted round-robin (nginx, 2012); the power of two choices (Mitzenmacher 1996) over peak-EWMA (Finagle); weighted
// rendezvous hashing (Schindelhauer and Schomaker 2005) with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016); hedged requests
// (Dean and Barroso, "The Tail at Scale", 2013); retry budgets (Finagle).
package balance
